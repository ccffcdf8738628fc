"""How chaos and soak judge; what they do to a real server is in tests/e2e/test_load.py."""

import pytest

from load_tests import soak
from load_tests.chaos import CLIENTS, judge, tracebacks
from load_tests.clients import Failure, Record
from load_tests.sizes import Sizes


@pytest.fixture
def record() -> Record:
    made = Record()
    made.statuses.update({200: 100, 503: 5, 504: 1})
    return made


def lost(lived: float, ended: float) -> Failure:
    return Failure("ConnectionResetError()", lived, ended)


def test_refusals_and_what_dies_with_its_worker_are_borne(record: Record) -> None:
    record.failures.append(lost(9, 10.5))
    assert judge(record, [], kills=[10]) == []


def test_a_wrong_picture_is_not(record: Record) -> None:
    record.wrong.append("seed 1 of a@1 has other bytes than before")
    assert judge(record, [], kills=[10]) == ["a wrong picture: seed 1 of a@1 has other bytes than before"]


@pytest.mark.parametrize("failure", [lost(1, 2), lost(20, 21)], ids=["before", "long after"])
def test_nor_is_a_request_that_is_lost_when_nobody_was_killed(record: Record, failure: Failure) -> None:
    record.failures.append(failure)
    assert "no worker of theirs was killed" in judge(record, [], kills=[10])[0]
    record.failures.clear()
    assert "no worker of theirs was killed" in judge(record, [failure], kills=[10])[0]


def test_where_a_place_stays_empty_what_comes_then_is_lost_with_the_worker(record: Record) -> None:
    record.failures.append(lost(20, 80))
    assert judge(record, [], kills=[10], empty=10) == []
    assert len(judge(record, [], kills=[9], empty=10)) == 1


def test_nor_are_more_losses_than_killed_workers_can_have_had(record: Record) -> None:
    record.failures += [lost(9, 10.5)] * (CLIENTS + 1)
    assert "only 1 workers" in judge(record, [], kills=[10])[0]


def test_nor_is_a_fault_of_the_servers_own(record: Record) -> None:
    record.statuses[500] = 1
    assert judge(record, [], kills=[]) == ["answers that are neither pictures nor refusals: {500: 1}"]


def test_the_log_shows_a_traceback_of_each_kind_whole() -> None:
    frames = 'Traceback (most recent call last):\n  File "a.py", line {}, in f\n    f()\n'
    one, other = frames.format(1) + "OSError: gone", frames.format(2) + "ValueError: 1\n"
    log = f"started\nA task failed\n{one}\nserving\n{one}\n{other}stopped\n"
    assert tracebacks(log) == [f"A task failed\n{one}", other.strip()]
    assert tracebacks("started\nstopped\n") == []


def sampled(*rss: float, files: int = 50) -> list[tuple[float, Sizes]]:
    return [(10.0 * i, Sizes(size, 9, files + i % 2, 100)) for i, size in enumerate(rss)]


def test_a_size_that_swings_is_flat_and_one_that_climbs_is_not() -> None:
    swings = sampled(*[500.0, 503.0] * 50)
    climbs = sampled(*(500 + i / 5 for i in range(100)))
    assert soak._growth(swings, "rss")["flat"]
    assert soak._growth(swings, "files")["flat"]
    found = soak._growth(climbs, "rss")
    assert not found["flat"]
    assert found["an_hour"] == pytest.approx(0.2 / 10 * 3600)


def test_what_grows_while_it_warms_up_does_not_count() -> None:
    assert soak._growth(sampled(*([100.0] * 10 + [500.0] * 90)), "rss")["flat"]


def test_one_more_series_is_growth() -> None:
    climbs = [(10.0 * i, Sizes(500, 9, 50, 100 + i // 40)) for i in range(100)]
    assert not soak._growth(climbs, "series")["flat"]
