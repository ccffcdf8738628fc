"""Jobs for the batcher: a request's items, what is made of their outputs, and how long each stage took."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from service.telemetry import metrics


class QueueFullError(Exception):
    """The queue has no room for the whole job."""


class DeadlinePassedError(Exception):
    """The job was not done in time."""


@dataclass
class Timing:
    """The time of a job's stages, in seconds of work: the work of concurrent threads is added up."""

    queue: float = 0.0
    infer: float = 0.0
    encode: float = 0.0


@dataclass(eq=False)
class Job:
    """One request's items; ``future`` gets what ``combine`` makes of the parts that ``encode`` makes.

    Attributes:
        group: jobs of one group may share a batch; given to ``prepare`` and ``infer``. A model, in the service.
        items: opaque to the batcher.
        encode: (index of an item, its output) -> part. Runs in a thread of the batcher.
        combine: parts in the items' order -> result. Runs in a thread of the batcher.
        deadline: by ``time.monotonic()``.
        taken: how many items have been put into a batch, the first ones first.
        prepared: what ``prepare`` made of each item, or None before.
    """

    group: Hashable
    items: Sequence[Any]
    encode: Callable[[int, Any], Any]
    combine: Callable[[list[Any]], Any]
    deadline: float
    future: Future[Any] = field(default_factory=Future)
    timing: Timing = field(default_factory=Timing)
    submitted: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.taken = 0
        self.prepared: list[Any] = [None] * len(self.items)
        self._parts: list[Any] = [None] * len(self.items)
        self._missing = len(self.items)
        self._result: Any = None
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many items are in no batch yet."""
        return len(self.items) - self.taken

    def is_over(self) -> bool:
        """Return whether nobody waits for this job any more; fail it if its deadline has passed."""
        if time.monotonic() > self.deadline:
            self.fail(DeadlinePassedError())
        return self.future.done()

    def fail(self, error: Exception) -> None:
        """Fail the job; the first error wins."""
        self._settle(lambda: self.future.set_exception(error))

    def add_infer(self, seconds: float) -> None:
        """Add the time of a batch that held items of this job."""
        with self._lock:
            self.timing.infer += seconds

    def finish(self, index: int, output: Any) -> bool:
        """Encode the output of item ``index``; return whether it was the last, and the result is ready to deliver."""
        started = time.monotonic()
        try:
            part = self.encode(index, output)
            if not self._add(index, part, time.monotonic() - started):
                return False
            started = time.monotonic()
            self._result = self.combine(self._parts)
            self.timing.encode += time.monotonic() - started  # no other thread does so any more
        except Exception as error:
            self.fail(error)
            return False
        return True

    def deliver(self) -> None:
        """Set the future's result."""
        self._settle(lambda: self.future.set_result(self._result))

    def _add(self, index: int, part: Any, seconds: float) -> bool:
        """Keep a part that took ``seconds`` to encode; return whether it was the last."""
        with self._lock:
            self._parts[index] = part
            self.timing.encode += seconds
            self._missing -= 1
            return self._missing == 0

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except InvalidStateError:  # cancelled, or another item has failed
            return


# Seconds of encoding that are worth a second thread: sixteen PNGs of 32 pixels take one thread 0.6 ms, and four, which
# pass the interpreter's lock to one another, 4 ms.
WORTH_HELP = 0.004
Entry = tuple[Job, int]  # a job and the index of one of its items


class Outputs:
    """The outputs of one batch, which one thread or several encode; jobs that are complete are delivered at the end.

    Jobs are delivered together, as a thread that wakes up to send one takes the GIL from those that still encode.
    """

    def __init__(self, pairs: Sequence[tuple[Entry, Any]], seconds: float, call_help: Callable[[int], None]) -> None:
        """Take the outputs, each with its entry, of a batch that ran for ``seconds``; ``call_help`` wakes threads."""
        self.wants_help = False
        self._call_help = call_help
        self._seconds = seconds
        self._size = self._left = len(pairs)
        self._todo = deque(pairs)
        self._complete: list[Job] = []
        self._lock = threading.Lock()

    def has_remaining(self) -> bool:
        """Return whether there are outputs that no thread has taken yet."""
        return bool(self._todo)

    def encode(self) -> None:
        """Encode outputs until no more are to be taken."""
        complete, count = list[Job](), 0
        while self._todo:
            try:
                (job, index), output = self._todo.popleft()
            except IndexError:  # another thread has taken it
                break
            started = time.monotonic()
            if job.finish(index, output):
                complete.append(job)
            count += 1
            if self._todo and not self.wants_help and len(self._todo) * (time.monotonic() - started) > WORTH_HELP:
                self.wants_help = True
                self._call_help(len(self._todo))
        if count and self._settle(complete, count):
            self._deliver()

    def _settle(self, complete: list[Job], count: int) -> bool:
        """Note what a thread has done; return whether it did the last."""
        with self._lock:
            self._complete += complete
            self._left -= count
            return self._left == 0

    def _deliver(self) -> None:
        metrics.BATCH_SIZE.observe(self._size)  # here, as the thread that ran them keeps the device waiting
        metrics.INFER_SECONDS.observe(self._seconds)
        for job in self._complete:
            job.deliver()
