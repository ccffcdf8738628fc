"""Many requests, few cores: images wait in one queue, and each core takes as many of one model as are there.

A request is an :class:`Order` of n items. Permits for all of them are taken before they are queued. Nothing waits for
a batch to fill while a thread is idle. Orders take turns, so one of many items does not hold up one of few. An item
that fails fails its own order alone; orders that are given up or too late are dropped before they run.
"""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from service.telemetry import metrics


class QueueFullError(Exception):
    """The queue has no room for the whole order."""


class DeadlinePassedError(Exception):
    """The order was not done in time."""


@dataclass
class Timing:
    """Where an order's time went, in seconds of work: what two threads do at once counts twice."""

    queue: float = 0.0
    infer: float = 0.0
    encode: float = 0.0


@dataclass(eq=False)
class Order:
    """One request's items; ``future`` gets what ``gather`` makes of the parts that ``each`` makes.

    Attributes:
        lane: what can be run together; given to ``infer``.
        items: opaque to the batcher.
        each: (index of an item, its output) -> part. Runs in a pool thread.
        gather: parts in the items' order -> result. Runs in a pool thread.
        deadline: by ``time.monotonic()``.
    """

    lane: Hashable
    items: Sequence[Any]
    each: Callable[[int, Any], Any]
    gather: Callable[[list[Any]], Any]
    deadline: float
    future: Future[Any] = field(default_factory=Future)
    timing: Timing = field(default_factory=Timing)
    submitted: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.taken = 0
        self._parts: list[Any] = [None] * len(self.items)
        self._missing = len(self.items)
        self._result: Any = None
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many items no thread has taken yet."""
        return len(self.items) - self.taken

    def is_over(self) -> bool:
        """Tell whether nobody waits for this order any more, and fail it if it is too late."""
        if time.monotonic() > self.deadline:
            self.fail(DeadlinePassedError())
        return self.future.done()

    def fail(self, error: Exception) -> None:
        """Give the order up; the first reason stays."""
        self._settle(lambda: self.future.set_exception(error))

    def ran(self, seconds: float) -> None:
        """Note that a batch with items of this order ran."""
        with self._lock:
            self.timing.infer += seconds

    def finish(self, index: int, output: Any) -> bool:
        """Make item ``index``'s part of its output; tell whether it was the last, and the result of all is made."""
        started = time.monotonic()
        try:
            part = self.each(index, output)
            complete = self._add(index, part)
            if complete:
                self._result = self.gather(self._parts)
        except Exception as error:
            self.fail(error)
            return False
        with self._lock:
            self.timing.encode += time.monotonic() - started
        return complete

    def deliver(self) -> None:
        """Hand the result over."""
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


Taken = tuple[Order, int]  # an order and the index of one of its items


class Batcher:
    """Runs orders' items in batches on ``threads`` threads."""

    def __init__(
        self, infer: Callable[[Any, list[Any]], Iterable[Any]], *, threads: int, max_batch: int, bound: int
    ) -> None:
        """Start the threads.

        Args:
            infer: (lane, items) -> one output an item; may raise, and is then tried again with each item alone.
            threads: how many batches run at once.
            max_batch: most items in one call of ``infer``.
            bound: most items that wait.
        """
        self._infer = infer
        self._max_batch = max_batch
        self._bound = bound
        self._lanes: OrderedDict[Hashable, deque[Order]] = OrderedDict()
        self._waiting = 0
        self._idle = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"draw-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, order: Order) -> None:
        """Queue all of an order's items, or none: raises QueueFullError."""
        with self._changed:
            if self._closed or self._waiting + len(order.items) > self._bound:
                metrics.REJECTED.inc()
                raise QueueFullError
            self._lanes.setdefault(order.lane, deque()).append(order)
            self._waiting += len(order.items)
            metrics.QUEUE_DEPTH.set(self._waiting)
            self._changed.notify(len(order.items))

    def close(self) -> None:
        """Run what is queued, take nothing more, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def is_alive(self) -> bool:
        """Tell whether every thread lives."""
        return all(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while batch := self._next():
            self._run(batch)

    def _next(self) -> list[Taken]:
        """Wait for a batch; an empty one means that the batcher was closed."""
        with self._changed:
            while not (batch := self._form()) and not self._closed:
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            metrics.QUEUE_DEPTH.set(self._waiting)
            return batch

    def _form(self) -> list[Taken]:
        """Take the next batch, of the lane whose turn it is."""
        while self._lanes:
            lane, orders = self._lanes.popitem(last=False)
            share = math.ceil(self._waiting / (1 + self._idle))  # an idle thread gets its part
            batch = self._take(orders, min(self._max_batch, share))
            if orders:
                self._lanes[lane] = orders
            if batch:
                return batch
        return []

    def _take(self, orders: deque[Order], limit: int) -> list[Taken]:
        """Take one item from each order in turn, so that few do not wait for many, and fill up from the oldest.

        If the rest came from all evenly, all would be done at once, and the threads idle until their clients ask again.
        """
        batch: list[Taken] = []
        for _ in range(min(limit, len(orders))):
            order = orders.popleft()
            batch += self._pull(order, 1)
            if order.waiting:
                orders.append(order)
        while orders and len(batch) < limit:
            batch += self._pull(orders[0], limit - len(batch))
            if not orders[0].waiting:
                orders.popleft()
        return batch

    def _pull(self, order: Order, most: int) -> list[Taken]:
        """Take up to ``most`` items of an order; none, and no more, if nobody waits for it."""
        if order.is_over():
            metrics.DROPPED.inc(order.waiting)
            self._waiting -= order.waiting
            order.taken = len(order.items)
            return []
        if order.taken == 0:
            order.timing.queue = time.monotonic() - order.submitted
        first, order.taken = order.taken, min(order.taken + most, len(order.items))
        self._waiting -= order.taken - first
        return [(order, index) for index in range(first, order.taken)]

    def _run(self, batch: list[Taken]) -> None:
        started = time.monotonic()
        try:
            items = [order.items[index] for order, index in batch]
            outputs = list(zip(batch, self._infer(batch[0][0].lane, items), strict=True))
        except Exception as error:
            self._run_alone(batch, error)
            return
        seconds = time.monotonic() - started
        for order in {order for order, _ in batch}:
            order.ran(seconds)
        # Delivered all at once: who is woken takes the interpreter from who still encodes.
        for order in [order for (order, index), output in outputs if order.finish(index, output)]:
            order.deliver()
        metrics.BATCH_SIZE.observe(len(batch))
        metrics.INFER_SECONDS.observe(seconds)

    def _run_alone(self, batch: list[Taken], error: Exception) -> None:
        """Find out which item of a failed batch it was: the others are not to suffer for it."""
        if len(batch) == 1:
            batch[0][0].fail(error)
            return
        for taken in batch:
            if not taken[0].is_over():
                self._run([taken])
