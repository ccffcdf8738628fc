"""Batches of images over few device slots: jobs wait in one queue, and threads run and encode them.

A request is a :class:`Job` of n items. A *slot* is the right to run one batch: a CPU has one for each core, an
accelerator one, or as many as ``--device-streams``. The thread that holds a slot forms a batch of all that waits then.
So nothing waits for a batch to fill while a slot is free, and what arrives while the device is busy runs together.
The threads that hold no slot prepare the items that run next, and encode what has run. A batch that is full cannot
grow, so ``ahead`` such batches may go to the device before it is free: it then computes while Python hands over.

Jobs take turns, so one of many items does not hold up one of few. An item that fails fails its own job alone; jobs that
are cancelled or past their deadline are dropped before they run.
"""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from itertools import accumulate, islice
from typing import Any

from service.engine.jobs import Entry, Job, Outputs, QueueFullError
from service.telemetry import metrics

CHUNK = 8  # items that are prepared ahead at a time: 0.1 ms of work, for which the slot may become free


class Batcher:
    """Runs jobs' items in batches: ``slots`` at once, on ``threads`` threads."""

    def __init__(
        self,
        prepare: Callable[[Any, Any], Any],
        infer: Callable[[Any, list[Any]], Iterable[Any]],
        *,
        slots: int,
        threads: int,
        max_batch: int,
        bound: int,
        ahead: int = 0,
    ) -> None:
        """Start the threads.

        Args:
            prepare: (group, item) -> what ``infer`` takes of it, not None; may run more than once.
            infer: (group, prepared items) -> one output an item; if it raises, each item is tried again alone.
            slots: how many batches run at once.
            threads: at least ``slots + ahead``; those that hold no slot prepare and encode.
            max_batch: most items in one batch.
            bound: most items that wait.
            ahead: how many full batches may be given to ``infer`` when no slot is free.
        """
        self._prepare = prepare
        self._infer = infer
        self._max_batch = max_batch
        self._bound = bound
        self._groups: OrderedDict[Hashable, deque[Job]] = OrderedDict()
        self._unencoded: deque[Outputs] = deque()  # of batches that have run
        self._encoding: list[Outputs] = []  # that some thread encodes, or has encoded
        self._waiting = 0  # items
        self._free = slots  # below 0, as many batches are ahead
        self._ahead = ahead
        self._idle = 0  # threads
        self._preparing = False
        self._closed = False
        self._lock = threading.RLock()  # taken directly, as a Condition takes it by calls of Python
        self._changed = threading.Condition(self._lock)
        self._threads = [threading.Thread(target=self._work, name=f"draw-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Queue all of a job's items, or none: raises QueueFullError."""
        with self._lock:
            if self._closed or self._waiting + len(job.items) > self._bound:
                metrics.REJECTED.inc()
                raise QueueFullError
            self._groups.setdefault(job.group, deque()).append(job)
            self._waiting += len(job.items)
            metrics.QUEUE_DEPTH.set(self._waiting)
            self._changed.notify(min(len(job.items), max(1, self._free)))

    def close(self) -> None:
        """Run what is queued, take nothing more, and end the threads."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def is_alive(self) -> bool:
        """Return whether every thread lives."""
        return all(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while task := self._next_task():
            task()
            del task  # a thread that waits holds no model, which a reload may have replaced

    def _next_task(self) -> Callable[[], None] | None:
        """Wait for something to do; None means that the batcher was closed and the queue is empty."""
        with self._lock:
            while True:
                if batch := self._start_batch():
                    return partial(self._run, batch)
                if entries := self._upcoming_unprepared():
                    return partial(self._prepare_ahead, entries)
                if outputs := self._next_outputs():
                    return outputs.encode
                if self._closed and not self._waiting:
                    self._changed.notify_all()
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1

    def _start_batch(self) -> list[Entry]:
        """Take a slot and form a batch for it; empty if none is free, nothing waits, or outputs come first.

        Outputs that no thread encodes come first, unless idle threads are there for them: on a busy CPU each thread
        encodes what it has run, and an accelerator is kept busy until the cores cannot keep up with it.
        """
        left = len(self._unencoded)
        if not self._waiting or left > self._idle or not self._may_run() or not (batch := self._form()):
            return []
        self._free -= 1
        metrics.QUEUE_DEPTH.set(self._waiting)
        if left:
            self._changed.notify(left)
        return batch

    def _may_run(self) -> bool:
        """Return whether a slot is free, or a full batch may go ahead."""
        return self._free > 0 or (self._free > -self._ahead and self._is_full())

    def _is_full(self) -> bool:
        """Return whether the group whose turn it is has a full batch."""
        jobs = next(iter(self._groups.values()), ())
        return any(waiting >= self._max_batch for waiting in accumulate(job.waiting for job in jobs))

    def _next_outputs(self) -> Outputs | None:
        """Return the outputs to encode: those that no thread encodes, or else the oldest that want help."""
        if not self._unencoded:
            return next((outputs for outputs in self._encoding if outputs.wants_help and outputs.has_remaining()), None)
        outputs = self._unencoded.popleft()
        self._encoding = [*filter(Outputs.has_remaining, self._encoding), outputs]
        return outputs

    def _form(self) -> list[Entry]:
        """Take the next batch, of the group whose turn it is."""
        while self._groups:
            group, jobs = self._groups.popitem(last=False)
            batch = self._take(jobs, min(self._max_batch, self._share()))
            if jobs:
                self._groups[group] = jobs
            if batch:
                return batch
        return []

    def _share(self) -> int:
        """Return how many of the items that wait one batch may take: idle threads with a free slot get their part."""
        others = min(self._free - 1, self._idle)
        return math.ceil(self._waiting / (1 + others)) if others > 0 else self._waiting

    def _take(self, jobs: deque[Job], limit: int) -> list[Entry]:
        """Take one item from each job in turn, so that few do not wait for many, and fill up from the oldest.

        If the rest came from all evenly, all would be done at once, and the threads idle until their clients ask again.
        """
        batch: list[Entry] = []
        for _ in range(min(limit, len(jobs))):
            job = jobs.popleft()
            batch += self._pull(job, 1)
            if job.waiting:
                jobs.append(job)
        while jobs and len(batch) < limit:
            batch += self._pull(jobs[0], limit - len(batch))
            if not jobs[0].waiting:
                jobs.popleft()
        return batch

    def _pull(self, job: Job, most: int) -> list[Entry]:
        """Take up to ``most`` items of a job; none, and drop the rest, if nobody waits for it."""
        if job.is_over():
            metrics.DROPPED.inc(job.waiting)
            self._waiting -= job.waiting
            job.taken = len(job.items)
            return []
        if job.taken == 0:
            job.timing.queue = time.monotonic() - job.submitted
        first, job.taken = job.taken, min(job.taken + most, len(job.items))
        self._waiting -= job.taken - first
        return [(job, index) for index in range(first, job.taken)]

    def _upcoming_unprepared(self) -> list[Entry]:
        """Return some items of the next batch that are not prepared, if all slots are busy and no thread does so."""
        if self._free > 0 or self._preparing or not self._groups:
            return []
        upcoming = islice(_in_turn(next(iter(self._groups.values()))), self._max_batch)
        entries = list(islice(((job, i) for job, i in upcoming if job.prepared[i] is None), CHUNK))
        self._preparing = bool(entries)
        return entries

    def _prepare_ahead(self, entries: list[Entry]) -> None:
        for job, index in entries:
            try:
                job.prepared[index] = self._prepare(job.group, job.items[index])
            except Exception as error:
                job.fail(error)
                job.prepared[index] = error  # not to be tried again; the job is dropped before it runs
        with self._lock:
            self._preparing = False

    def _run(self, batch: list[Entry]) -> None:
        """Run a batch and free its slot; its outputs are then there to encode."""
        outputs = self._infer_batch(batch)
        with self._lock:
            self._free += 1
            self._unencoded += outputs

    def _infer_batch(self, batch: list[Entry]) -> list[Outputs]:
        """Return the batch's outputs, without those of items that fail, whose jobs are failed."""
        started = time.monotonic()
        try:
            group = batch[0][0].group
            inputs = [self._prepared(job, index) for job, index in batch]
            pairs = list(zip(batch, self._infer(group, inputs), strict=True))
        except Exception as error:
            return self._infer_each(batch, error)
        seconds = time.monotonic() - started
        for job in {job for job, _ in batch}:
            job.add_infer(seconds)
        return [Outputs(pairs, seconds, self._call_help)]

    def _call_help(self, most: int) -> None:
        with self._lock:
            self._changed.notify(most)

    def _prepared(self, job: Job, index: int) -> Any:
        ready = job.prepared[index]
        return self._prepare(job.group, job.items[index]) if ready is None else ready

    def _infer_each(self, batch: list[Entry], error: Exception) -> list[Outputs]:
        """Run each item of a failed batch alone: the others must not fail with it."""
        if len(batch) == 1:
            batch[0][0].fail(error)
            return []
        return [outputs for entry in batch if not entry[0].is_over() for outputs in self._infer_batch([entry])]


def _in_turn(jobs: deque[Job]) -> Iterator[Entry]:
    """Yield items that wait in the order in which a batch takes them."""
    for job in jobs:
        yield job, job.taken
    for job in jobs:
        yield from ((job, index) for index in range(job.taken + 1, len(job.items)))
