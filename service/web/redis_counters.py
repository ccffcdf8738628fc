"""Counters of images in a Redis that several workers and pods share.

The Redis client blocks on its own thread, so that its socket timeout measures Redis alone and not a late event loop.
The thread sends all waiting requests in one pipeline, with a script for each: a round trip counts a hundred requests
as fast as one.
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import redis
from limits import RateLimitItem
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.web.counters import Count, CountersUnavailableError, Window

logger = logging.getLogger("bentoml.nelumbo.counters")

RETRY = 0.1  # seconds between two attempts to reach Redis
PIPELINE = 256  # most requests in one
PREFIX = "nelumbo"

# KEYS: one for each window, which ends when its key expires. ARGV: the images, then the limit and length (ms) of each
# window. Returns whether the images were counted, and of each window the images before and the ms until it ends.
SCRIPT = """
local images, counted, before = tonumber(ARGV[1]), 1, {}
for i, key in ipairs(KEYS) do
    local used, left = tonumber(redis.call('GET', key) or '0'), redis.call('PTTL', key)
    if left <= 0 then used, left = 0, tonumber(ARGV[2 * i + 1]) end
    if used + images > tonumber(ARGV[2 * i]) then counted = 0 end
    before[2 * i - 1], before[2 * i] = used, left
end
if counted == 1 then
    for i, key in ipairs(KEYS) do
        redis.call('SET', key, before[2 * i - 1] + images, 'PX', before[2 * i])
    end
end
return {counted, unpack(before)}
"""


@dataclass(frozen=True)
class Waiting:
    """A request whose images are to be counted."""

    owner: str
    images: int
    future: "Future[Count]"


class RedisCounters:
    """Counters in Redis; their thread lives as long as the process."""

    def __init__(self, uri: str, limits: Mapping[str, RateLimitItem], patience: float) -> None:
        """Take the windows of every key, and the seconds to wait for a Redis that does not answer."""
        self._limits = limits
        self._patience = patience
        # One thread, so one connection: after a restart of Redis, no stale connection stays in the pool.
        self._redis = redis.Redis.from_url(
            uri, socket_timeout=patience, socket_connect_timeout=patience, retry=Retry(NoBackoff(), 0)
        )
        self._queue: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._unavailable = threading.Event()
        self._numbers = [number for one in limits.values() for number in (one.amount, one.get_expiry() * 1000)]
        self._thread: threading.Thread | None = None

    def count(self, owner: str, images: int) -> "Future[Count]":
        """Queue a request for the thread, which is started by the first request, as threads do not survive a fork."""
        future: Future[Count] = Future()
        if self._unavailable.is_set():
            future.set_exception(CountersUnavailableError())
            return future
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="redis", daemon=True)
            self._thread.start()
        self._queue.put(Waiting(owner, images, future))
        return future

    def _run(self) -> None:
        while True:
            waiting = self._next()
            try:
                counts = self._ask_until_it_answers(waiting)
            except Exception as error:  # if this thread ended, every request would wait
                self._unavailable.set()
                logger.error("Redis does not count images: %s", error)
                _fail([*waiting, *self._left()])
                self._wait_until_it_answers()
                logger.warning("Redis counts images again")
                self._unavailable.clear()
            else:
                for one, count in zip(waiting, counts, strict=True):
                    one.future.set_result(count)

    def _next(self) -> list[Waiting]:
        """Wait for requests, and drop those whose client has disconnected."""
        waiting = [self._queue.get()]
        while len(waiting) < PIPELINE and not self._queue.empty():
            waiting.append(self._queue.get())
        return [one for one in waiting if one.future.set_running_or_notify_cancel()]

    def _left(self) -> list[Waiting]:
        left = []
        while not self._queue.empty():
            left.append(self._queue.get())
        return [one for one in left if one.future.set_running_or_notify_cancel()]

    def _ask_until_it_answers(self, waiting: Sequence[Waiting]) -> list[Count]:
        """Retry for ``patience`` seconds, also through a restart of Redis; raises RedisError.

        What was sent and not answered may be counted twice: a key never gets more than it may have.
        """
        end = time.monotonic() + self._patience
        while True:
            try:
                return self._ask(waiting)
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() + RETRY > end:
                    raise
                time.sleep(RETRY)

    def _ask(self, waiting: Sequence[Waiting]) -> list[Count]:
        pipeline = self._redis.pipeline(transaction=False)
        for one in waiting:
            keys = [f"{PREFIX}:{{{one.owner}}}:{name}" for name in self._limits]  # {}: in one slot of a cluster
            pipeline.eval(SCRIPT, len(keys), *keys, str(one.images), *map(str, self._numbers))
        return [self._read(answer) for answer in pipeline.execute()]

    def _read(self, answer: list[Any]) -> Count:
        counted, *numbers = answer
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        windows = {name: Window(used, left / 1000) for name, (used, left) in zip(self._limits, pairs, strict=True)}
        return Count(bool(counted), windows)

    def _wait_until_it_answers(self) -> None:
        while True:
            time.sleep(RETRY)
            try:
                self._ask([Waiting(PREFIX, 0, Future())])  # as a request would: it may be up and refuse to write
            except Exception:
                _fail(self._left())  # who asked at the moment when it went
            else:
                return


def _fail(waiting: Sequence[Waiting]) -> None:
    for one in waiting:
        one.future.set_exception(CountersUnavailableError())
