"""The supervisor's decisions, with workers that are small processes; tests/e2e/test_processes.py has real ones."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from service.errors import ServiceError
from service.runtime import supervisor as module
from service.runtime.supervisor import Supervisor
from service.runtime.worker import Worker
from service.settings import read_settings
from tests.waiting import wait_for


class Ending(Worker):
    """A worker that ends as soon as it is started."""

    code = 1

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        sys.exit(self.code)


class Wrong(Ending):
    """A worker that finds a setting wrong."""

    code = 2


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with socket.socket() as listening:
        config = uvicorn.Config("none:app", log_config=None, workers=1)
        yield Supervisor(config, [listening], read_settings(models=tmp_path, workers=1))
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def end(supervisor: Supervisor) -> int:
    """Let the present worker end, and the supervisor look at it; returns its process id."""
    (worker,) = supervisor.processes
    wait_for(lambda: not worker.process.is_alive())
    supervisor.keep_subprocess_alive()
    assert worker.pid
    return worker.pid


def test_a_worker_that_ends_at_each_start_is_replaced_at_once_and_then_later(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Worker", Ending)
    supervisor.processes.append(supervisor._start())
    first = end(supervisor)
    second = supervisor.processes[0].pid
    assert second != first
    end(supervisor)
    supervisor.keep_subprocess_alive()
    assert supervisor.processes[0].pid == second, "there is to be no third one yet"
    assert not supervisor.failed
    wait_for(lambda: supervisor.keep_subprocess_alive() or supervisor.processes[0].pid != second)


def test_a_worker_that_finds_a_setting_wrong_stops_the_server(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Worker", Wrong)
    supervisor.processes.append(supervisor._start())
    end(supervisor)
    assert supervisor.failed
    assert supervisor.should_exit.is_set()


def test_without_a_sound_model_the_server_stops_and_says_why(supervisor: Supervisor) -> None:
    supervisor._check_models()
    assert isinstance(supervisor.refused, ServiceError)
    assert supervisor.should_exit.is_set()


def test_signals_of_the_terminal_change_no_number_of_workers(supervisor: Supervisor) -> None:
    os.kill(os.getpid(), signal.SIGTTIN)
    supervisor.handle_signals()
    assert not supervisor.processes
