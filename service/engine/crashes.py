"""Charge a worker's crash to the model that it ran, and withdraw a model after two crashes in ten minutes.

Each worker records which model each of its threads runs, in a small memory-mapped file: the kernel keeps what was
written when the process dies. Python's ``faulthandler`` writes the fatal signal and its thread beside it. So a worker
that was killed (SIGKILL, by an operator or for lack of memory) charges no model, and of two models that ran at once the
right one is charged. The next process that loads models reads the records; the dead worker's replacement is the first.
"""

import contextlib
import faulthandler
import fcntl
import logging
import mmap
import os
import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from service.engine import state

logger = logging.getLogger("bentoml.nelumbo.crashes")

CRASHES, WINDOW = 2, 600.0  # a model is withdrawn after so many crashes in so many seconds
SLOT = struct.Struct("=Q64s88s")  # a thread's ident while it runs a model, else 0; the model's digest and name
IDENT = struct.Struct("=Q")
SLOTS = 256
CRASH = re.compile(r"^Fatal Python error: (.+)$", re.MULTILINE)
THREAD = re.compile(r"^Current thread 0x([0-9a-f]+)", re.MULTILINE)


class Record:
    """A file that says which model each thread of this process runs; locked as long as the process lives."""

    def __init__(self, folder: Path) -> None:
        """Create the file, and let ``faulthandler`` write beside it."""
        path = folder / f"worker-{os.getpid()}"
        self._file = path.open("w+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.truncate(SLOT.size * SLOTS)
        self._map = mmap.mmap(self._file.fileno(), SLOT.size * SLOTS)
        self._fault = fault_file(path).open("wb")
        self._mine = threading.local()
        self._taken = 0
        self._digests = [""] * SLOTS  # that the slots hold
        self._lock = threading.Lock()
        faulthandler.enable(self._fault)

    def running(self, digest: str, ref: str) -> "Slot":
        """Return a block in which this thread runs a model."""
        try:
            slot: Slot = self._mine.slot
        except AttributeError:
            slot = self._mine.slot = self._take_slot()
        slot.name(digest, ref)
        return slot

    def _take_slot(self) -> "Slot":
        with self._lock:
            self._taken += 1
            return Slot(self._map, self._digests, (self._taken - 1) % SLOTS)


class Slot:
    """A thread's place in the record, and a block in which it says that the thread runs a model.

    There are more threads than slots after many reloads, so that a slot may have been another thread's.
    """

    def __init__(self, record: mmap.mmap, digests: list[str], number: int) -> None:
        self._record = record
        self._digests, self._number = digests, number
        offset = number * SLOT.size
        self._whole = slice(offset, offset + SLOT.size)
        self._ident = slice(offset, offset + IDENT.size)
        self._runs, self._rests = IDENT.pack(threading.get_ident()), IDENT.pack(0)

    def name(self, digest: str, ref: str) -> None:
        """Write which model the thread is about to run; most often it is that of the last time."""
        if digest != self._digests[self._number]:
            self._record[self._whole] = SLOT.pack(0, digest.encode(), ref.encode())
            self._digests[self._number] = digest

    def __enter__(self) -> None:
        """Say that the thread runs it."""
        self._record[self._ident] = self._runs

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Say that it does not any more."""
        self._record[self._ident] = self._rests


_record: list[Record] = []  # this process's, if any


def start() -> None:
    """Start this worker's record, where the server's processes share a directory."""
    if not _record and (folder := state.folder()):
        try:
            _record.append(Record(folder))
        except OSError as error:
            logger.warning("A crash of this worker is charged to no model: %s", error.strerror)


def running(digest: str, ref: str) -> AbstractContextManager[None]:
    """Return a block in which this thread runs a model, recorded where this worker keeps a record."""
    return _record[0].running(digest, ref) if _record else nullcontext()


def withdrawn(digest: str) -> str | None:
    """Return why a model file was withdrawn, or None."""
    folder = state.folder()
    try:
        return (folder / f"withdrawn-{digest}").read_text(encoding="utf-8") if folder and digest.isalnum() else None
    except OSError:
        return None


def charge() -> list[str]:
    """Charge the models that crashed workers ran; returns a sentence for each that is withdrawn for it."""
    if (folder := state.folder()) is None:
        return []
    sentences: list[str] = []
    for path in folder.glob("worker-*"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if path.suffix or not _is_dead(file):
                continue
            for digest, ref in _models_that_crashed(file.read(), fault_file(path)):
                sentences += _charge_model(folder, digest, ref)
            fault_file(path).unlink(missing_ok=True)
            path.unlink()
    return sentences


def fault_file(record: Path) -> Path:
    """Return where ``faulthandler`` writes beside a record."""
    return record.with_name(f"{record.name}.fault")


def _is_dead(record: BinaryIO) -> bool:
    """Return whether the worker has ended; the record is then locked here, so that one process alone charges for it."""
    try:
        fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _models_that_crashed(record: bytes, fault: Path) -> set[tuple[str, str]]:
    """Return digest and name of the model in the thread that crashed, or of all that ran where no thread is named."""
    written = fault.read_text(errors="replace")
    if not CRASH.search(written):
        return set()
    crashed = THREAD.search(written)
    ran = set()
    for thread, digest, ref in SLOT.iter_unpack(record):
        if thread and (crashed is None or thread == int(crashed[1], 16)):
            ran.add((digest.rstrip(b"\0").decode("ascii"), ref.rstrip(b"\0").decode("ascii")))
    return ran


def _charge_model(folder: Path, digest: str, ref: str) -> Iterator[str]:
    """Charge a crash to a model, and withdraw it if that was one too many; yields why."""
    (folder / f"crash-{digest}-{time.time_ns()}").touch()
    now = time.time()
    recent = [path for path in folder.glob(f"crash-{digest}-*") if now - path.stat().st_mtime < WINDOW]
    logger.error("A worker crashed while it ran %s, sha256 %s", ref, digest)
    if len(recent) >= CRASHES and withdrawn(digest) is None:
        sentence = f"{ref} is withdrawn: {len(recent)} workers crashed in {WINDOW / 60:g} minutes while they ran it"
        state.write(folder / f"withdrawn-{digest}", sentence)
        logger.error("%s; export it again, or restart the server to try it again", sentence)
        yield sentence
