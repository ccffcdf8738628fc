"""How much memory this process may use, which in a container is not how much the machine has."""

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

import psutil

from service import cpus


def available() -> int:
    """Return the bytes of memory of this machine, or fewer where a cgroup that holds this process has a limit."""
    found = limits(cpus.CGROUPS, Path("/proc/self/cgroup"))
    return min([int(psutil.virtual_memory().total), *found])


def give_back() -> None:
    """Have the C library return the memory that nobody holds: glibc keeps what is freed below the last block in use."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def limits(root: Path, membership: Path) -> Iterator[int]:
    """Yield the limit in bytes of each cgroup that holds this process (v2, then v1)."""
    files = [folder / "memory.max" for folder in cpus.cgroup_folders(root, membership)]
    for file in (*files, root / "memory" / "memory.limit_in_bytes"):
        if (text := cpus.read_text(file)).isdigit():
            yield int(text)
