"""The folder of prometheus_client's multi-process mode: each process of a server writes its metrics there.

prometheus_client maps sparse files. When the disk is full, writing to such a map kills the process (SIGBUS), and its
replacement, too. So the space is allocated beforehand.
"""

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger("bentoml.nelumbo.prometheus_dir")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is first imported
FILES = ("counter", "histogram", "gauge_livesum")  # as prometheus_client calls them, by kind of metric
HEAD = 8  # bytes at the start of each file, of which the first four say how many bytes are used
ROOM = 2**17  # bytes of each file; all routes with all their statuses take half of it


@contextlib.contextmanager
def chosen() -> Iterator[None]:
    """Create the folder, set the variable that workers inherit, and remove the folder at the end."""
    try:
        folder = tempfile.mkdtemp(prefix="nelumbo-metrics-")
    except OSError as error:
        logger.error("No folder for metrics (%s): each worker reports its own only", error.strerror)
        yield
        return
    os.environ[VARIABLE] = folder
    try:
        reserve()
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reserve() -> None:
    """Allocate this process's files; if the disk is full, it keeps its metrics in memory, unsummed.

    Call it before prometheus_client is imported.
    """
    if VARIABLE not in os.environ or not hasattr(os, "posix_fallocate"):
        return
    files = [Path(os.environ[VARIABLE]) / f"{name}_{os.getpid()}.db" for name in FILES]
    try:
        for file in files:
            with file.open("ab") as opened:
                os.posix_fallocate(opened.fileno(), 0, ROOM)
    except OSError as error:
        logger.error("No space for metrics (%s): those of this process are not summed with the others'", error.strerror)
        for file in files:
            file.unlink(missing_ok=True)
        del os.environ[VARIABLE]


def release(pid: int) -> None:
    """Remove the gauges of a process that has ended, and free the space that its files did not use.

    Its counters and histograms stay in the sums as long as the server runs.
    """
    if VARIABLE not in os.environ:
        return
    from prometheus_client import multiprocess

    with contextlib.suppress(OSError):
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
        for file in Path(os.environ[VARIABLE]).glob(f"*_{pid}.db"):
            with file.open("rb+") as opened:
                used = int.from_bytes(opened.read(HEAD)[:4], sys.byteorder)
                opened.truncate(max(used, HEAD))
