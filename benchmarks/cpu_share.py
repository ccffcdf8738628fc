"""A share of a core for a process, by a control group of Linux: a small machine on a large one."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PERIOD = 50_000  # microseconds, in which a process may compute for its share of them
VERSION_1, VERSION_2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@contextmanager
def limited(processes: Iterable[int], cores: float) -> Iterator[None]:
    """Let processes, with all their threads, use so many cores together until the block ends; it needs root.

    Raises:
        OSError: control groups cannot be made here.
    """
    is_first = (VERSION_1 / "cpu.cfs_quota_us").exists()
    root = VERSION_1 if is_first else VERSION_2
    group = root / f"nelumbo-{os.getpid()}-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        quota = round(cores * PERIOD)
        if is_first:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        _move(processes, group)
        yield
    finally:
        _move(map(int, (group / "cgroup.procs").read_text().split()), root)
        group.rmdir()


def _move(processes: Iterable[int], group: Path) -> None:
    for process in processes:
        (group / "cgroup.procs").write_text(str(process))
