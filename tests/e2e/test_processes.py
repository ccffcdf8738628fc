"""Workers that die, and servers that are told to end, while clients ask."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.serving import process
from tests.e2e.server import BENTOML, PATIENCE, Server, counted, serving, wait_for_workers, wait_until

DRAIN = 5  # seconds
COMMANDS = {"python -m service": None, "bentoml serve": [*BENTOML, "serve"]}


class Load:
    """Clients that ask all the time, each on a connection that it keeps; ``got`` counts what came of it."""

    def __init__(self, url: str, body: dict[str, int]) -> None:
        self.got: Counter[int | str] = Counter()
        self.closing = 0  # answers that ended their connection
        self._url = url
        self._body = body
        self._over = threading.Event()

    def ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._over.is_set():
                try:
                    answer = client.post("/generate", json=self._body)
                except httpx.TransportError as error:
                    self.got[type(error).__name__] += 1
                    time.sleep(0.05)
                else:
                    self.got[answer.status_code] += 1
                    self.closing += answer.headers.get("connection") == "close"

    def stop(self) -> None:
        self._over.set()


@contextmanager
def load(server: Server, clients: int, **body: int) -> Iterator[Load]:
    asking = Load(server.url, body)
    threads = [threading.Thread(target=asking.ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield asking
    finally:
        asking.stop()
        for thread in threads:
            thread.join()


def pids(server: Server) -> set[int]:
    return {int(worker.name) for worker in process.workers(server)}


@pytest.mark.parametrize("contained", [False, True], ids=["", "in a container"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_worker_is_replaced_in_seconds_and_fails_its_own_requests_alone(
    models: Path, tmp_path: Path, command: str, contained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if contained:
        monkeypatch.setenv("BENTOML_CONTAINERIZED", "true")
    given = {"command": COMMANDS[command]} if COMMANDS[command] else {}
    with serving(tmp_path / "log", models=models, workers=2, **given) as server:
        known, before = wait_for_workers(server, 2), pids(server)
        with load(server, clients=4) as asking:
            wait_until(lambda: asking.got[200] > 20, server)
            os.kill(min(before), signal.SIGKILL)
            killed = time.monotonic()
            while len(pids(server) - {min(before)}) < 2:
                assert time.monotonic() - killed < 8, "nobody replaced the worker"  # circus by itself looks after 10
                time.sleep(0.05)
            wait_for_workers(server, 3, known=known)
        assert set(asking.got) <= {200, "RemoteProtocolError", "ReadError"}
        assert sum(asking.got.values()) - asking.got[200] <= 4  # at most what each client had asked of the dead one
        with server.client() as client:
            assert counted(client.get("/metrics").text, "nelumbo_queue_images") == 0


def test_a_lone_worker_that_is_killed_comes_back_to_clients_who_only_wait(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models) as server:
        os.kill(*pids(server), signal.SIGKILL)
        assert httpx.post(f"{server.url}/generate", timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_told_to_end_first_says_so_and_loses_no_request(
    models: Path, tmp_path: Path, workers: int
) -> None:
    with serving(tmp_path / "log", models=models, workers=workers, drain=DRAIN) as server, load(server, 8) as asking:
        wait_for_workers(server, workers)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        while (answer := httpx.get(f"{server.url}/readyz")).status_code == 200:
            assert time.monotonic() - told < DRAIN
        assert answer.json()["detail"] == "Not ready: the server is stopping."
        assert httpx.post(f"{server.url}/generate").status_code == 200  # it serves on
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - told >= DRAIN
        asking.stop()
        assert set(asking.got) <= {200, "ConnectError"}, asking.got  # what was accepted was answered
        assert asking.closing > 0


def test_a_second_sigterm_does_not_hurry_it_and_ctrl_c_does(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, drain=60) as server:
        server.process.send_signal(signal.SIGTERM)
        os.kill(*pids(server), signal.SIGTERM)
        time.sleep(1)
        assert httpx.post(f"{server.url}/generate").status_code == 200
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does
        assert server.process.wait(30) == 0
        assert "Aborted" not in server.said()


def test_servers_of_one_user_do_not_wipe_each_others_metrics(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    given = {"models": models, "command": COMMANDS["bentoml serve"]}  # which imports us latest
    with serving(tmp_path / "first", **given) as first:
        for _ in range(3):
            httpx.post(f"{first.url}/generate")
        with serving(tmp_path / "second", **given) as second:
            httpx.post(f"{second.url}/generate")
            counts = [counted(httpx.get(f"{one.url}/metrics").text, "nelumbo_images_total") for one in (first, second)]
            assert second.stop() == 0
        assert counts == [3, 1]
        assert first.stop() == 0
    assert not list((tmp_path / "tmp").glob("nelumbo-*"))


def test_a_worker_that_stands_still_holds_up_its_own_clients_alone(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2) as server:
        wait_for_workers(server, 2)
        stopped = min(pids(server))
        with load(server, clients=8) as asking:
            time.sleep(0.5)
            os.kill(stopped, signal.SIGSTOP)
            try:
                answers = [httpx.post(f"{server.url}/generate", timeout=PATIENCE) for _ in range(20)]  # new connections
                time.sleep(2)
            finally:
                os.kill(stopped, signal.SIGCONT)
            assert {answer.status_code for answer in answers} == {200}
            time.sleep(1)
        assert set(asking.got) == {200}, asking.got  # who was held up is answered late


@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_supervisor_takes_its_workers_along_and_leaves_the_port_to_the_next(
    models: Path, tmp_path: Path, command: str
) -> None:
    given = {"command": COMMANDS[command]} if COMMANDS[command] else {}
    with serving(tmp_path / "log", models=models, workers=2, **given) as server:
        workers = [psutil.Process(pid) for pid in pids(server)]
        server.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
        assert not alive
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/readyz")
