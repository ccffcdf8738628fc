"""What a quota in Redis takes for Redis' time, with a real Redis behind a relay that takes its own."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from service.web import rate_limit
from service.web.problem_types import ProblemType
from service.web.problems import Problem
from service.web.rate_limit import RateLimiter
from tests.e2e.redis import SlowRedis, slow_redis

DEADLINE = 4.0
PATIENCE = DEADLINE / 2  # after which Redis is unavailable
QUOTA = 9


@pytest.fixture
def slow() -> Iterator[SlowRedis]:
    with slow_redis() as relay:
        yield relay


async def limiter_of(slow: SlowRedis, queue: int = 9) -> RateLimiter:
    """Return a limiter that is connected."""
    uri = f"redis://127.0.0.1:{slow.server_address[1]}"
    made = RateLimiter({"quota": f"{QUOTA}/day"}, uri=uri, failure="closed", deadline=DEADLINE, queue=queue)
    assert left(await made.spend("a", 1)) == QUOTA - 1
    slow.holds.clear()
    return made


def left(headers: dict[str, str]) -> int:
    return int(headers["RateLimit"].partition("r=")[2].partition(";")[0])


async def until_it_holds(slow: SlowRedis) -> None:
    async with asyncio.timeout(60):
        while not slow.holds.is_set():
            await asyncio.sleep(0)


def test_the_time_of_the_event_loop_is_not_that_of_redis(slow: SlowRedis) -> None:
    async def spend() -> int:
        limiter = await limiter_of(slow)
        spending = asyncio.create_task(limiter.spend("a", 1))
        await until_it_holds(slow)
        time.sleep(1.2 * PATIENCE)
        return left(await spending)

    assert rate_limit.PATIENCE > PATIENCE
    assert asyncio.run(spend()) == QUOTA - 2


def test_the_time_behind_other_requests_is_not_that_of_redis(slow: SlowRedis) -> None:
    async def spend() -> list[int]:
        limiter = await limiter_of(slow)
        slow.seconds = 0.6 * PATIENCE
        first = asyncio.create_task(limiter.spend("a", 1))
        await until_it_holds(slow)
        return [left(one) for one in await asyncio.gather(first, limiter.spend("a", 2))]  # 1.2 PATIENCE for the second

    assert asyncio.run(spend()) == [QUOTA - 2, QUOTA - 4]


def test_no_more_requests_wait_to_be_counted_than_may(slow: SlowRedis) -> None:
    async def spend() -> list[int]:
        limiter = await limiter_of(slow, queue=2)
        slow.seconds = 0.2 * PATIENCE
        waiting = [asyncio.create_task(limiter.spend("a", 1)) for _ in range(2)]
        await until_it_holds(slow)
        with pytest.raises(Problem) as refused:
            await limiter.spend("a", 1)
        assert refused.value.kind is ProblemType.QUEUE_FULL
        counted = [left(await one) for one in waiting]
        return [*counted, left(await limiter.spend("a", 1))]

    assert asyncio.run(spend()) == [QUOTA - 2, QUOTA - 3, QUOTA - 4]
