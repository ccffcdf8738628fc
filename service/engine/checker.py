"""Starts the process that checks model files, limits its time, and stores its verdicts.

Each file may take ``seconds``. One that takes more than ``QUICK`` is put off until the others are through, so that a
slow one keeps no other from being served. The processes of one server share what they found, and check one at a time.
"""

import contextlib
import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import service
from service import cpus, memory
from service.contract import ContractError, Refusal
from service.contract.files import read_digests
from service.engine import state
from service.engine.verdicts import PLACE, RETRY, Verdict, verdicts

logger = logging.getLogger("bentoml.nelumbo.checker")

QUICK = 3.0  # seconds for a file while others wait
START = 60.0  # seconds until the process says which file it begins with
POLL = 0.05  # seconds between two checks for another process's verdicts
MOST = 2**31  # bytes for a batch: 128 MiB for each of 16 images, three times what 1024×1024 pixels take
MAX_LINE = 2**21  # bytes: a thousand classes of 64 characters, escaped, are up to 800,000


@dataclass
class Progress:
    """The progress of a child process: the file that it checks, and the deadline."""

    deadline: float
    file: Path | None = None
    digest: str | None = None


@dataclass(eq=False)
class Checker:
    """Checks files, each in a process that may end without the caller.

    Attributes:
        batch: most images that are drawn at once.
        seconds: time that a file may take, from when it is read to its last batch.
        memory: bytes that one batch may take: what this machine has, halved, for as many batches as it has cores, and
            at most ``MOST``, however large the machine.
        module: what runs in the child process.
    """

    batch: int = 1
    seconds: float = 60.0
    memory: int = field(default_factory=lambda: min(MOST, memory.available() // 2 // cpus.available()))

    module: str = "service.engine.check_models"

    def __post_init__(self) -> None:
        self._verdicts = verdicts(self.batch, self.memory, self.seconds, self.module)
        self._closed = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, files: Sequence[Path], nice: int = 0) -> Iterator[tuple[Path, Verdict]]:
        """Yield each file with its verdict, as it is found: those that are known first, the slow ones last."""
        waiting: dict[Path, str] = {}
        for file in files:
            try:
                waiting[file] = read_digests(file.parent)[file.name]
            except (ContractError, KeyError) as error:
                yield file, _no_digest(file, error)
        patience = min(QUICK, self.seconds)
        while waiting:
            for file, digest in list(waiting.items()):
                if found := self._verdicts.find(digest):
                    del waiting[file]
                    yield file, _at(file, found)
            if self._closed.is_set():
                yield from ((file, _not_checked(f"{file} was not checked: the server stops")) for file in waiting)
                return
            with _turn() as mine:
                if not mine:
                    self._closed.wait(POLL)
                    continue
                for file, verdict in self._run([*waiting], patience, nice):
                    del waiting[file]
                    yield file, verdict
                patience = self.seconds

    def close(self) -> None:
        """Stop the check that is running; those who wait for it get a refusal."""
        self._closed.set()
        if (child := self._child) is not None:
            child.kill()

    def _run(self, files: list[Path], patience: float, nice: int) -> Iterator[tuple[Path, Verdict]]:
        """Yield the files' verdicts, but for those that took more than ``patience`` and may take more."""
        while files and not self._closed.is_set():
            before = len(files)
            at = Progress(time.monotonic() + START)
            for verdict in self._follow(files, at, patience, nice):
                assert at.file is not None  # noqa: S101 (a verdict follows what begins its file)
                files.remove(at.file)
                if at.digest:
                    self._verdicts.add(verdict)
                yield at.file, _at(at.file, verdict)
                at.file = at.digest = None
            if at.file is None and len(files) == before and not self._closed.is_set():
                yield from ((file, _not_checked(f"{file} cannot be checked: {self._by_hand(file)}")) for file in files)
                return
            if at.file is not None:  # it took too long, and is put off
                files.remove(at.file)

    def _follow(self, files: list[Path], at: Progress, patience: float, nice: int) -> Iterator[Verdict]:
        """Run one child process, and yield what it and its end say; ``at`` then holds the file that is put off."""
        child = self._child = self._start(files, nice)
        assert child.stdout is not None  # noqa: S101
        try:
            if self._closed.is_set():
                return
            for said in _lines(child.stdout, at):
                if "begun" in said:
                    at.file, at.deadline = Path(said["begun"]), time.monotonic() + patience
                elif "digest" in said:
                    at.digest = said["digest"]
                else:
                    told = {
                        name: said[name] for name in ("metadata", "exact", "refused", "kind", "bytes") if name in said
                    }
                    yield Verdict(at.digest or "", **told)
            late = child.poll() is None and time.monotonic() >= at.deadline
            child.kill()
            code = child.wait()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
            self._child = None
        if at.file is None or self._closed.is_set():
            return
        if late and patience < self.seconds:
            logger.warning("Checking %s takes more than %g s; the other models go first", at.file, patience)
        elif late:
            reason = f"{PLACE} takes more than {self.seconds:g} s to open and draw with (NELUMBO_LOAD_SECONDS)"
            yield _refusal(Refusal.TIMEOUT, reason, at.digest, until=time.time() + RETRY)
        else:
            reason = f"{PLACE} ends the process that runs it ({_name(code)})"
            yield _refusal(Refusal.CRASHED, reason, at.digest)

    def _by_hand(self, file: Path) -> str:
        return f"python -m {self.module} --batch 1 --memory {2**28} --seconds 60 {file} says why"

    def _start(self, files: Sequence[Path], nice: int) -> "subprocess.Popen[bytes]":
        limits = {"batch": self.batch, "memory": self.memory, "seconds": self.seconds, "nice": nice}
        options = [word for name, value in limits.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-P", "-m", self.module, *options, "--", *map(str, files)]
        return subprocess.Popen(  # noqa: S603 # nosec B603 (our own module; the rest are numbers and paths)
            command,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


def _refusal(kind: Refusal, sentence: str, digest: str | None = None, until: float | None = None) -> Verdict:
    return Verdict(digest or "", refused=sentence, kind=kind.slug, until=until)


def _no_digest(file: Path, error: Exception) -> Verdict:
    if isinstance(error, ContractError):
        return _refusal(error.kind, str(error))
    return _refusal(Refusal.NO_DIGEST, f"{file.parent / 'sha256'} lacks {file.name}")


def _not_checked(sentence: str) -> Verdict:
    return _refusal(Refusal.NOT_CHECKED, sentence)


def _at(file: Path, verdict: Verdict) -> Verdict:
    """Return a verdict whose sentence names the file."""
    if verdict.refused is None:
        return verdict
    return replace(verdict, refused=verdict.refused.replace(PLACE, str(file)))


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the child's variables: none of the service's, of which some are secret, and a path to this package."""
    dropped = ("NELUMBO_", "BENTOML", "PROMETHEUS_")
    kept = {name: value for name, value in given.items() if not name.startswith(dropped)}
    path = [str(Path(service.__file__).parents[1]), given.get("PYTHONPATH", "")]
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def _lines(pipe: IO[bytes], at: Progress) -> Iterator[dict[str, Any]]:
    """Yield the lines of a child until it ends, writes a line that is not JSON, or ``at.deadline`` passes."""
    held, poll = b"", select.poll()
    poll.register(pipe, select.POLLIN)
    with contextlib.suppress(ValueError):
        while len(held) <= MAX_LINE:
            line, found, rest = held.partition(b"\n")
            if found:
                held = rest
                yield json.loads(line)
                continue
            if not poll.poll(max(0.0, at.deadline - time.monotonic()) * 1000) or not (
                more := os.read(pipe.fileno(), 2**16)
            ):
                return
            held += more


@contextlib.contextmanager
def _turn() -> Iterator[bool]:
    """Return whether this process may check, of all that share a directory; it holds a lock until the block ends."""
    if (folder := state.folder()) is None:
        yield True
        return
    with open(folder / "check.lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
