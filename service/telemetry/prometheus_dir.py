"""Where the processes of one server write what they count, to be added up: a folder of their own, with room in it.

BentoML has one folder for all servers of a user, and empties it whenever one starts. prometheus_client maps files that
take no room until they are written to: on a full disk the system then ends the process (SIGBUS), and the next one, too.
"""

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from prometheus_client import values

logger = logging.getLogger("bentoml.nelumbo.ledger")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # BentoML's supervisor tells its workers
FILES = ("counter", "histogram", "gauge_livesum")  # as prometheus_client calls them, by kind of metric
HEAD = 8  # bytes at the start of each, the first four of which say how many are used
ROOM = 2**17  # bytes of each: all routes with all of their statuses take half of it


def choose() -> None:
    """Let the supervisor take a folder of this server's own, gone when it ends; a worker has been told."""
    if VARIABLE not in os.environ:
        from bentoml._internal.configuration.containers import BentoMLContainer

        folder = Path(tempfile.gettempdir()) / f"nelumbo-metrics-{os.getpid()}-{secrets.token_hex(8)}"
        BentoMLContainer.prometheus_multiproc_dir.set(str(folder))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def reserve() -> None:
    """Take the room for what this process will count; where there is none, it counts in memory, for itself."""
    if VARIABLE not in os.environ or not hasattr(os, "posix_fallocate"):
        return
    files = [Path(os.environ[VARIABLE]) / f"{name}_{os.getpid()}.db" for name in FILES]
    try:
        for file in files:
            with file.open("ab") as opened:
                os.posix_fallocate(opened.fileno(), 0, ROOM)
    except OSError as error:
        logger.error("No room for metrics (%s): this worker's are not added to the others'", error.strerror)
        for file in files:
            file.unlink(missing_ok=True)
        del os.environ[VARIABLE]
        values.ValueClass = values.MutexValue


def shrink(file: Path) -> None:
    """Give back the room that a process which has ended did not use: its counts stay as long as the server runs."""
    with contextlib.suppress(OSError), file.open("rb+") as opened:
        used = int.from_bytes(opened.read(HEAD)[:4], sys.byteorder)
        opened.truncate(max(used, HEAD))
