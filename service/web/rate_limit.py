"""How many images a key may have: so many in a short time (its rate) and in a long one (its quota).

Images are counted, as they are what costs: a request for 64 counts 64. They are counted when they are asked for; what
is then not drawn, as the queue is full, has been counted all the same. Counters stand in this process, or in Redis
where several processes share them.
"""

import asyncio
import contextlib
import logging
import math
import time

from limits import RateLimitItem, parse
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import StorageTypes, storage_from_string

from service.settings import Settings
from service.telemetry import metrics
from service.web.problem_types import ProblemType
from service.web.problems import Problem

logger = logging.getLogger("bentoml.nelumbo.allowance")

PATIENCE = 0.25  # seconds for Redis to answer
PAUSE = 1.0  # seconds without asking a Redis that did not
AWAY = (StorageError, TimeoutError)


class Allowance:
    """Counts images by key.

    Where Redis is away, nothing is counted and all is drawn: the keys and the queue still guard the server, and what
    only counts must not end what draws. ``nelumbo_uncounted_requests_total`` tells.
    """

    def __init__(self, settings: Settings) -> None:
        given = {"rate": settings.rate, "quota": settings.quota}
        self._items = {name: parse(text) for name, text in given.items() if text}
        self._counters = FixedWindowRateLimiter(_storage(settings))
        self._policy = ", ".join(
            f'"{name}";q={item.amount};qu="images";w={item.get_expiry()}' for name, item in self._items.items()
        )
        self._ask_again = 0.0

    async def spend(self, owner: str, images: int) -> dict[str, str]:
        """Count images; returns the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10) of the answer.

        Raises:
            Problem: 429 when so many are not left; 422 when they never are.
        """
        for name, item in self._items.items():
            if images > item.amount:
                detail = f"Ask for at most {item.amount} images at once: this key's {name} allows no more."
                raise Problem(ProblemType.OVER_LIMIT, detail)
        if time.monotonic() >= self._ask_again:
            with contextlib.suppress(*AWAY):
                async with asyncio.timeout(PATIENCE):
                    return await self._count(owner, images)
            self._ask_again = time.monotonic() + PAUSE
            logger.error("Images are not counted, for what counts them does not answer")
        metrics.UNCOUNTED.inc()
        return {}

    async def _count(self, owner: str, images: int) -> dict[str, str]:
        """Look first, so that a request for too many leaves what is left to one for fewer."""
        left = {name: await self._left(item, owner) for name, item in self._items.items()}
        waits = [seconds for remaining, seconds in left.values() if remaining < images]
        for item in self._items.values():
            if not waits and not await self._counters.hit(item, owner, cost=images):
                waits.append((await self._left(item, owner))[1])  # another request was quicker
        spent = 0 if waits else images
        told = ", ".join(f'"{name}";r={remaining - spent};t={seconds}' for name, (remaining, seconds) in left.items())
        headers = {"RateLimit-Policy": self._policy, "RateLimit": told}
        if waits:
            raise _refusal(max(waits), headers)
        return headers

    async def _left(self, item: RateLimitItem, owner: str) -> tuple[int, int]:
        """Return how many images are left, and in how many seconds all are again."""
        stats = await self._counters.get_window_stats(item, owner)
        seconds = stats.reset_time - time.time() if stats.remaining < item.amount else item.get_expiry()
        return stats.remaining, max(1, math.ceil(seconds))


def _refusal(wait: int, headers: dict[str, str]) -> Problem:
    metrics.LIMITED.inc()
    detail = f"Rate limit exceeded for this key; ask again in {wait} s, or for fewer images."
    return Problem(ProblemType.RATE_LIMITED, detail, headers={"Retry-After": str(wait), **headers})


def _storage(settings: Settings) -> StorageTypes:
    if settings.limits_uri is None:
        return storage_from_string("async+memory://")
    uri = f"async+{settings.limits_uri.get_secret_value()}"
    return storage_from_string(
        uri, implementation="redispy", key_prefix="nelumbo", wrap_exceptions=True, socket_timeout=PATIENCE
    )
