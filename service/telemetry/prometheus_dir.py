"""The folder where the processes of one server write what they count, so that it can be added up.

prometheus_client maps files that take no room on disk until they are written to: on a full disk the kernel then ends
the process (SIGBUS), and the next one as well. So the room is taken beforehand.
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
HEAD = 8  # bytes at the start of each, the first four of which say how many are used
ROOM = 2**17  # bytes of each: all routes with all of their statuses take half of it


@contextlib.contextmanager
def chosen() -> Iterator[None]:
    """Make a folder for this server, name it to the workers in the environment, and remove it at the end."""
    try:
        folder = tempfile.mkdtemp(prefix="nelumbo-metrics-")
    except OSError as error:
        logger.error("No folder for metrics (%s): each worker counts for itself", error.strerror)
        yield
        return
    os.environ[VARIABLE] = folder
    try:
        reserve()
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reserve() -> None:
    """Take the room for what this process will count; where there is none, it counts in memory, for itself.

    To be called before prometheus_client is imported.
    """
    if VARIABLE not in os.environ or not hasattr(os, "posix_fallocate"):
        return
    files = [Path(os.environ[VARIABLE]) / f"{name}_{os.getpid()}.db" for name in FILES]
    try:
        for file in files:
            with file.open("ab") as opened:
                os.posix_fallocate(opened.fileno(), 0, ROOM)
    except OSError as error:
        logger.error("No room for metrics (%s): this process's are not added to the others'", error.strerror)
        for file in files:
            file.unlink(missing_ok=True)
        del os.environ[VARIABLE]


def release(pid: int) -> None:
    """Take what a process that has ended said of its present out of the sums, and free the room it did not use.

    What it counted stays as long as the server runs.
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
