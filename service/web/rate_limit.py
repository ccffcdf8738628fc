"""Rate limits in images: each key has a rate (over a short window) and a quota (over a long one).

A request for 64 images counts 64 when it arrives. It is not refunded if it is then refused, as when the queue is full.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Literal

from limits import RateLimitItem, parse

from service.telemetry import metrics
from service.web.counters import Count, Counters, CountersUnavailableError, MemoryCounters, Window
from service.web.problem_types import ProblemType
from service.web.problems import Problem, unavailable

PATIENCE = 5.0  # seconds without an answer after which Redis is unavailable; at most half the deadline


class RateLimiter:
    """Counts images by key.

    While Redis is slow, requests wait for it within their deadline. While it is unavailable, ``failure`` decides:
    ``open`` draws without counting (``nelumbo_uncounted_requests_total``), ``closed`` answers 503.

    Args:
        limits: by name, such as {"rate": "20/second", "quota": "10000/day"}.
        uri: of the Redis in which several processes count together; None counts in this process.
        failure: ``open`` or ``closed``.
        deadline: seconds that a request may wait to be counted.
        queue: most requests that wait to be counted.
    """

    def __init__(
        self,
        limits: Mapping[str, str],
        *,
        uri: str | None = None,
        failure: Literal["open", "closed"] = "open",
        deadline: float = 30.0,
        queue: int = 1024,
    ) -> None:
        self._limits = {name: parse(text) for name, text in limits.items()}
        self._deadline = deadline
        self._most_waiting = queue
        self._waiting = 0
        self._open = failure == "open"
        self._counters = _counters(uri, self._limits, min(PATIENCE, deadline / 2))
        self._policy = ", ".join(
            f'"{name}";q={limit.amount};qu="images";w={limit.get_expiry()}' for name, limit in self._limits.items()
        )

    async def spend(self, owner: str, images: int) -> dict[str, str]:
        """Count images; returns the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10) of the answer.

        Raises:
            Problem: 429 if fewer images are left in a window; 422 if more are asked for than a window has; 503 if they
                cannot be counted and must be, or too many requests wait for it; 504 after the deadline.
        """
        for name, limit in self._limits.items():
            if images > limit.amount:
                most = f"ask for at most {limit.amount} images at once: this key's {name} allows no more"
                detail = f"This request counts as {images} images; {most}."
                raise Problem(ProblemType.OVER_LIMIT, detail)
        try:
            count = await self._count(owner, images)
        except CountersUnavailableError:
            if not self._open:
                raise unavailable(
                    ProblemType.NOT_COUNTED, "Images cannot be counted now; ask again in a second."
                ) from None
            metrics.UNCOUNTED.inc()
            return {}
        headers = self._headers(count, images)
        if not count.counted:
            raise self._refusal(count, images, headers)
        return headers

    async def _count(self, owner: str, images: int) -> Count:
        if self._waiting >= self._most_waiting:
            detail = "The queue is full; ask again in a second, or for fewer images."
            raise unavailable(ProblemType.QUEUE_FULL, detail)
        future = self._counters.count(owner, images)
        if future.done():
            return future.result()
        self._waiting += 1
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._deadline)
        except TimeoutError as error:
            detail = f"The images were not counted within {self._deadline:g} seconds."
            raise Problem(ProblemType.DEADLINE_PASSED, detail) from error
        finally:
            self._waiting -= 1

    def _headers(self, count: Count, images: int) -> dict[str, str]:
        spent = images if count.counted else 0
        remaining = ", ".join(
            f'"{name}";r={max(0, limit.amount - window.used - spent)};t={_whole_seconds(window)}'
            for (name, limit), window in zip(self._limits.items(), count.windows.values(), strict=True)
        )
        return {"RateLimit-Policy": self._policy, "RateLimit": remaining}

    def _refusal(self, count: Count, images: int, headers: dict[str, str]) -> Problem:
        metrics.LIMITED.inc()
        wait = max(
            _whole_seconds(window)
            for name, window in count.windows.items()
            if window.used + images > self._limits[name].amount
        )
        detail = f"Rate limit exceeded for this key; ask again in {wait} s, or for fewer images."
        return Problem(ProblemType.RATE_LIMITED, detail, headers={"Retry-After": str(wait), **headers})


def _whole_seconds(window: Window) -> int:
    return max(1, math.ceil(window.seconds))


def _counters(uri: str | None, limits: Mapping[str, RateLimitItem], patience: float) -> Counters:
    if uri is None:
        return MemoryCounters(limits)
    from service.web.redis_counters import RedisCounters  # needs nelumbo[redis]

    return RedisCounters(uri, limits, patience)
