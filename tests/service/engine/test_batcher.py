import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from service.engine.batcher import Batcher
from service.engine.jobs import DeadlinePassedError, Job, QueueFullError, Timing
from tests.waiting import wait_for

WAIT = 60  # seconds until a test that hangs fails


class Engine:
    """Doubles its items; keeps the batches that it ran, and stands still while ``gate`` is closed."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.running = threading.Semaphore(0)

    def __call__(self, group: Any, items: list[Any]) -> list[Any]:
        self.batches.append(items)
        self.running.release()
        assert self.gate.wait(WAIT)
        if "bad" in items:
            raise ValueError("bad item")
        return [item * 2 for item in items]


def as_it_is(_: Any, item: Any) -> Any:
    return item


def job(*items: Any, group: str = "a", seconds: float = WAIT, encode: Callable[[int, Any], Any] | None = None) -> Job:
    return Job(group, items, encode or (lambda _, output: output), list, time.monotonic() + seconds)


def accepted(made: Batcher, one: Job) -> bool:
    """Submit a job; returns whether the queue had room for it."""
    try:
        made.submit(one)
    except QueueFullError:
        return False
    return True


@contextmanager
def batcher(engine: Engine, **changes: int) -> Iterator[Batcher]:
    made = Batcher(as_it_is, engine, **{"slots": 1, "threads": 1, "max_batch": 4, "bound": 100} | changes)
    try:
        yield made
    finally:
        engine.gate.set()
        made.close()


@contextmanager
def busy(**changes: int) -> Iterator[tuple[Engine, Batcher]]:
    """A batcher of one thread that is occupied until the gate opens."""
    engine = Engine()
    engine.gate.clear()
    with batcher(engine, **changes) as made:
        made.submit(job("busy"))
        assert engine.running.acquire(timeout=WAIT)
        yield engine, made


def test_results_come_in_the_order_of_the_items() -> None:
    with batcher(Engine(), slots=3, threads=3, bound=350) as made:
        jobs = [job(*range(i, i + 7)) for i in range(50)]
        for one in jobs:
            made.submit(one)
        for i, one in enumerate(jobs):
            assert one.future.result(WAIT) == [2 * item for item in range(i, i + 7)]


def test_nothing_waits_for_a_batch_to_fill() -> None:
    engine = Engine()
    with batcher(engine, max_batch=64) as made:
        for i in range(5):
            one = job(i)
            made.submit(one)
            one.future.result(WAIT)
    assert engine.batches == [[i] for i in range(5)]


def test_what_waits_is_run_together_up_to_the_largest_batch() -> None:
    with busy() as (engine, made):
        jobs = [job(i) for i in range(6)]
        for one in jobs:
            made.submit(one)
        engine.gate.set()
        for one in jobs:
            one.future.result(WAIT)
    assert engine.batches[1:] == [[0, 1, 2, 3], [4, 5]]


def test_idle_threads_share_one_job() -> None:
    engine = Engine()
    engine.gate.clear()
    with batcher(engine, slots=2, threads=2, max_batch=64) as made:
        wait_for(lambda: made._idle == 2)
        made.submit(job(*range(8)))
        assert engine.running.acquire(timeout=WAIT)
        assert engine.running.acquire(timeout=WAIT)
    assert sorted(map(len, engine.batches)) == [4, 4]


def test_a_job_of_one_does_not_wait_for_a_job_of_many() -> None:
    with busy() as (engine, made):
        many, one = job(*range(40)), job("x")
        made.submit(many)
        made.submit(one)
        engine.gate.set()
        many.future.result(WAIT)
    assert "x" in engine.batches[1]


def test_large_jobs_end_one_after_another() -> None:
    with busy() as (engine, made):
        first, second = job(*range(8)), job(*range(10, 18))
        made.submit(first)
        made.submit(second)
        engine.gate.set()
        assert first.future.result(WAIT) == [2 * item for item in range(8)]
        assert second.future.result(WAIT) == [2 * item for item in range(10, 18)]
    assert engine.batches[1:] == [[0, 10, 1, 2], [3, 11, 4, 5], [6, 12, 7, 13], [14, 15, 16, 17]]


def test_more_jobs_than_fit_in_a_batch_take_turns() -> None:
    with busy() as (engine, made):
        jobs = [job(i, i + 10) for i in range(6)]
        for one in jobs:
            made.submit(one)
        engine.gate.set()
        for one in jobs:
            one.future.result(WAIT)
    assert engine.batches[1:3] == [[0, 1, 2, 3], [4, 5, 10, 11]]


def test_jobs_are_delivered_when_their_whole_batch_is_encoded() -> None:
    seen: list[int] = []
    with busy() as (engine, made):
        jobs = [job(i, encode=lambda *_: seen.append(sum(one.future.done() for one in jobs))) for i in range(4)]
        for one in jobs:
            made.submit(one)
        engine.gate.set()
        for one in jobs:
            one.future.result(WAIT)
    assert seen == [0, 0, 0, 0]


def test_models_take_turns_and_are_never_mixed() -> None:
    with busy() as (engine, made):
        jobs = [job(*"aaaaaaaa", group="a"), job(*"bb", group="b")]
        for one in jobs:
            made.submit(one)
        engine.gate.set()
        for one in jobs:
            one.future.result(WAIT)
    assert engine.batches[1:] == [list("aaaa"), list("bb"), list("aaaa")]


def test_a_job_that_does_not_fit_whole_is_refused_and_takes_no_room() -> None:
    with busy(bound=5) as (_, made):
        made.submit(job(1, 2, 3))
        with pytest.raises(QueueFullError):
            made.submit(job(1, 2, 3))
        made.submit(job(1, 2))
        with pytest.raises(QueueFullError):
            made.submit(job(1))


def test_room_is_given_back_when_items_are_taken_or_dropped() -> None:
    with busy(bound=4) as (engine, made):
        gone = job(1, 2, 3, 4)
        made.submit(gone)
        gone.future.cancel()
        engine.gate.set()
        for _ in range(20):
            one = job(*range(4))
            wait_for(lambda one=one: accepted(made, one))
            assert one.future.result(WAIT) == [0, 2, 4, 6]


def test_a_failing_item_fails_alone() -> None:
    with busy() as (engine, made):
        jobs = [job("a"), job("bad"), job("b", "bad"), job("c")]
        for one in jobs:
            made.submit(one)
        engine.gate.set()
        assert jobs[0].future.result(WAIT) == ["aa"]
        assert jobs[3].future.result(WAIT) == ["cc"]
        for failed in jobs[1:3]:
            with pytest.raises(ValueError, match="bad item"):
                failed.future.result(WAIT)


def test_an_engine_that_returns_too_little_fails_its_jobs_and_not_its_thread() -> None:
    answers = [[], [], [1]]
    made = Batcher(as_it_is, lambda *_: answers.pop(0), slots=1, threads=1, max_batch=4, bound=10)
    try:
        first = job("x")
        made.submit(first)
        with pytest.raises(ValueError, match="zip"):
            first.future.result(WAIT)
        assert made.is_alive()
    finally:
        made.close()


def test_a_job_whose_part_cannot_be_made_fails_alone() -> None:
    def burst(_: int, __: Any) -> Any:
        raise OSError("no part")

    with busy() as (engine, made):
        bad, good = job("a", encode=burst), job("b")
        made.submit(bad)
        made.submit(good)
        engine.gate.set()
        with pytest.raises(OSError, match="no part"):
            bad.future.result(WAIT)
        assert good.future.result(WAIT) == ["bb"]


def test_a_cancelled_job_is_dropped_before_it_runs() -> None:
    with busy() as (engine, made):
        gone, stays = job("gone"), job("stays")
        made.submit(gone)
        made.submit(stays)
        gone.future.cancel()
        engine.gate.set()
        stays.future.result(WAIT)
    assert ["stays"] in engine.batches
    assert not any("gone" in batch for batch in engine.batches)


def test_a_job_past_its_deadline_is_dropped_before_it_runs() -> None:
    with busy() as (engine, made):
        late = job("late", seconds=0)
        made.submit(late)
        engine.gate.set()
        with pytest.raises(DeadlinePassedError):
            late.future.result(WAIT)
    assert not any("late" in batch for batch in engine.batches)


def test_closing_runs_queued_jobs_and_refuses_new_ones() -> None:
    engine = Engine()
    made = Batcher(as_it_is, engine, slots=2, threads=2, max_batch=2, bound=100)
    jobs = [job(*range(10)) for _ in range(5)]
    for one in jobs:
        made.submit(one)
    made.close()
    assert all(one.future.done() and not one.future.exception() for one in jobs)
    with pytest.raises(QueueFullError):
        made.submit(job(1))


def test_a_job_has_the_time_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    for module in ("jobs", "batcher"):
        monkeypatch.setattr(f"service.engine.{module}.time", SimpleNamespace(monotonic=lambda: now[0]))

    def infer(_: Any, items: list[Any]) -> list[Any]:
        now[0] += 10
        return items

    def encode(_: int, output: Any) -> Any:
        now[0] += 1
        return output

    made = Batcher(as_it_is, infer, slots=1, threads=1, max_batch=4, bound=10)
    one = Job("a", [1, 2], encode, list, deadline=math.inf, submitted=-100)
    made.submit(one)
    one.future.result(WAIT)
    made.close()
    assert one.timing == Timing(queue=100, infer=10, encode=2)
