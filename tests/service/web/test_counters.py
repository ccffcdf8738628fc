"""Counters of images: the same promises in memory and in a real Redis."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
from limits import parse
from redis import Redis

from service.web.counters import Count, Counters, CountersUnavailableError, MemoryCounters
from service.web.redis_counters import RedisCounters
from tests.e2e.redis import redis
from tests.e2e.server import free_port

SOON = 60  # seconds until what does not come fails its test
LIMITS = {"rate": parse("5/hour"), "quota": parse("100/day")}


@pytest.fixture(params=["memory", "redis"])
def counters(request: pytest.FixtureRequest) -> Iterator[Counters]:
    if request.param == "memory":
        yield MemoryCounters(LIMITS)
        return
    port = free_port()
    with redis(port):
        yield RedisCounters(f"redis://127.0.0.1:{port}", LIMITS, patience=SOON)


def used(count: Count) -> dict[str, int]:
    return {name: window.used for name, window in count.windows.items()}


def test_images_are_counted_in_every_window_or_in_none(counters: Counters) -> None:
    counts = [counters.count("a", images).result(SOON) for images in (3, 3, 2, 1)]
    assert [count.counted for count in counts] == [True, False, True, False]
    assert [used(count) for count in counts] == [{"rate": before, "quota": before} for before in (0, 3, 3, 5)]
    assert 3590 < counts[-1].windows["rate"].seconds <= 3600
    assert 86390 < counts[-1].windows["quota"].seconds <= 86400


def test_each_key_has_windows_of_its_own(counters: Counters) -> None:
    assert [counters.count(owner, 5).result(SOON).counted for owner in ("a", "b", "a", "b")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_window_of_memory_ends_and_begins_again() -> None:
    now = [0.0]
    counters = MemoryCounters({"rate": parse("1/second")}, clock=lambda: now[0])
    for time, counted, seconds in ((0.0, True, 1), (0.9, False, 0.1), (1.0, True, 1), (5.0, True, 1)):
        now[0] = time
        count = counters.count("a", 1).result()
        assert (count.counted, count.windows["rate"].seconds) == (counted, pytest.approx(seconds))


def test_a_window_of_redis_ends_and_begins_again() -> None:
    port = free_port()
    with redis(port):
        counters = RedisCounters(f"redis://127.0.0.1:{port}", {"rate": parse("1/second")}, patience=SOON)
        assert counters.count("a", 1).result(SOON).counted
        until(lambda: counters.count("a", 1).result(SOON).counted)


def test_many_at_once_get_no_more_than_there_is() -> None:
    port = free_port()
    with redis(port):
        counters = RedisCounters(f"redis://127.0.0.1:{port}", LIMITS, patience=SOON)
        futures = [counters.count("a", 1) for _ in range(2000)]
        assert sum(future.result(SOON).counted for future in futures) == 5


def test_no_count_is_lost_when_redis_pauses_or_restarts_within_the_timeout() -> None:
    port = free_port()
    with redis(port) as first:
        counters = RedisCounters(f"redis://127.0.0.1:{port}", LIMITS, patience=SOON)
        assert counters.count("a", 2).result(SOON).counted
        os.kill(first.pid, signal.SIGSTOP)
        paused = [counters.count("a", 1) for _ in range(9)]
        assert not any(future.done() for future in paused)
        os.kill(first.pid, signal.SIGCONT)
        assert sum(future.result(SOON).counted for future in paused) == 3
        first.kill()
        first.wait()
        restarting = [counters.count("a", 1) for _ in range(9)]
        assert not any(future.done() for future in restarting)
        with redis(port):
            assert sum(future.result(SOON).counted for future in restarting) == 5  # it remembers nothing
            assert not counters.count("a", 1).result(SOON).counted


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_an_unavailable_redis_fails_requests_immediately_until_it_counts_again(how: str) -> None:
    port = free_port()
    with redis(port) as first:
        counters = RedisCounters(f"redis://127.0.0.1:{port}", LIMITS, patience=0.3)
        assert counters.count("a", 5).result(SOON).counted
        if how == "silent":
            os.kill(first.pid, signal.SIGSTOP)
        else:
            first.kill()
            first.wait()
        with pytest.raises(CountersUnavailableError):
            counters.count("a", 1).result(SOON)
        later = counters.count("a", 1)
        assert later.done()
        assert isinstance(later.exception(), CountersUnavailableError)
        if how == "silent":
            os.kill(first.pid, signal.SIGCONT)
            until(lambda: not is_unavailable(counters))
            assert not counters.count("a", 1).result(SOON).counted  # what was counted before still is
        else:
            with redis(port):
                until(lambda: not is_unavailable(counters))
                assert all(not is_unavailable(counters) for _ in range(100))


def test_a_redis_that_refuses_writes_is_unavailable() -> None:
    port = free_port()
    with redis(port):
        admin = Redis(port=port)
        counters = RedisCounters(f"redis://127.0.0.1:{port}", LIMITS, patience=SOON)
        admin.config_set("maxmemory", 1)
        with pytest.raises(CountersUnavailableError):
            counters.count("a", 1).result(SOON)
        admin.config_set("maxmemory", 0)
        until(lambda: not is_unavailable(counters))
        assert counters.count("a", 5).result(SOON).counted


def test_a_cancelled_request_is_not_counted() -> None:
    port = free_port()
    with redis(port) as process:
        counters = RedisCounters(f"redis://127.0.0.1:{port}", LIMITS, patience=SOON)
        counters.count("a", 1).result(SOON)
        os.kill(process.pid, signal.SIGSTOP)
        first: Future[Count] = counters.count("a", 1)
        until(first.running)
        assert counters.count("a", 3).cancel()
        os.kill(process.pid, signal.SIGCONT)
        assert used(counters.count("a", 1).result(SOON))["rate"] == 2


def is_unavailable(counters: Counters) -> bool:
    return isinstance(counters.count("probe", 0).exception(SOON), CountersUnavailableError)


def until(come: Callable[[], bool]) -> None:
    """Wait for what comes a moment later."""
    moment = threading.Event()
    for _ in range(SOON * 20):
        if come():
            return
        moment.wait(0.05)
    raise AssertionError("it does not come")
