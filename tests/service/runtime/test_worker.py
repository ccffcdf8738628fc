import socket

import pytest
import uvicorn

from service.runtime.worker import INTERVAL, PING, RELOAD, Worker


@pytest.fixture
def worker() -> Worker:
    """A worker that is not started: these tests are its process, and answer at the other end of its pipe."""
    with socket.socket() as listening:
        return Worker(uvicorn.Config("none:app", log_config=None), [listening])


def answer(worker: Worker, ready: bool) -> None:
    assert worker.child_conn.recv() == PING
    worker.child_conn.send(ready)


def looks(worker: Worker, seconds: float) -> None:
    for _ in range(int(seconds / INTERVAL) + 1):
        worker.look()


def test_a_ready_worker_that_does_not_answer_is_hung(worker: Worker) -> None:
    worker.look()
    answer(worker, ready=True)
    looks(worker, 3)
    assert worker.is_hung(2)
    assert not worker.is_hung(4)


def test_a_worker_that_starts_may_take_its_time(worker: Worker) -> None:
    looks(worker, 60)
    assert not worker.is_hung(2)
    answer(worker, ready=True)
    worker.look()
    assert (worker.ready, worker.is_hung(2)) == (True, False)


def test_a_worker_is_pinged_again_only_when_it_has_answered(worker: Worker) -> None:
    looks(worker, 60)
    answer(worker, ready=False)
    assert not worker.child_conn.poll()
    worker.look()
    assert worker.child_conn.recv() == PING


def test_a_reload_waits_in_the_pipe_until_the_worker_reads_it(worker: Worker) -> None:
    worker.reload()
    assert worker.child_conn.recv() == RELOAD
