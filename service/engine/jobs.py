"""Jobs for the batcher: a request's items, what is made of their outputs, and how long each stage took."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
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
            complete = self._add(index, part)
            if complete:
                self._result = self.combine(self._parts)
        except Exception as error:
            self.fail(error)
            return False
        with self._lock:
            self.timing.encode += time.monotonic() - started
        return complete

    def deliver(self) -> None:
        """Set the future's result."""
        self._settle(lambda: self.future.set_result(self._result))

    def _add(self, index: int, part: Any) -> bool:
        with self._lock:
            self._parts[index] = part
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
        self.attended = False  # a thread encodes them
        self.wants_help = False
        self._call_help = call_help
        self._seconds = seconds
        self._size = self._left = len(pairs)
        self._todo = deque(pairs)
        self._complete: list[Job] = []
        self._lock = threading.Lock()

    @property
    def remaining(self) -> int:
        """How many outputs no thread has taken yet."""
        return len(self._todo)

    def encode(self) -> None:
        """Encode outputs until no more are to be taken."""
        for (job, index), output in self._take():
            started = time.monotonic()
            complete = job.finish(index, output)
            if not self.wants_help and self.remaining * (time.monotonic() - started) > WORTH_HELP:
                self.wants_help = True
                self._call_help(self.remaining)
            with self._lock:
                if complete:
                    self._complete.append(job)
                self._left -= 1
                is_last = self._left == 0
            if is_last:
                self._deliver()

    def _take(self) -> Iterator[tuple[Entry, Any]]:
        while True:
            try:
                yield self._todo.popleft()
            except IndexError:
                return

    def _deliver(self) -> None:
        metrics.BATCH_SIZE.observe(self._size)  # here, as the thread that ran them keeps the device waiting
        metrics.INFER_SECONDS.observe(self._seconds)
        for job in self._complete:
            job.deliver()
