from service.runtime.backoff import LONGEST, STABLE, Backoff


def test_a_worker_that_served_for_a_while_is_replaced_at_once() -> None:
    backoff = Backoff()
    assert [backoff.delay(STABLE) for _ in range(5)] == [0] * 5


def test_workers_that_end_right_after_their_start_are_replaced_ever_later() -> None:
    backoff = Backoff()
    delays = [backoff.delay(0.1) for _ in range(20)]
    assert delays[:4] == [0, 1, 2, 4]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST


def test_a_worker_that_holds_ends_the_row() -> None:
    backoff = Backoff()
    assert [backoff.delay(served) for served in (1, 1, STABLE, 1, 1)] == [0, 1, 0, 0, 1]
