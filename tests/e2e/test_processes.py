"""Workers that die or hang, and servers that are told to stop, while clients send requests."""

import os
import re
import signal
import subprocess
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
from tests.e2e.server import PATIENCE, Server, counted, serving, wait_for_workers, wait_until

DRAIN = 2  # seconds
HUNG = 2  # seconds until a worker that does not answer is replaced


class Load:
    """Clients that send requests all the time, each on one connection or each request on its own.

    ``got`` counts answers by status, and errors by name.
    """

    def __init__(self, url: str, body: dict[str, int], *, keep_alive: bool) -> None:
        self.got: Counter[int | str] = Counter()
        self.closing = 0  # answers that ended their connection
        self._url = url
        self._body = body
        self._headers = {} if keep_alive else {"Connection": "close"}
        self._over = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, headers=self._headers) as client:
            while not self._over.is_set():
                try:
                    answer = client.post("/generate", json=self._body)
                except httpx.ConnectError:  # nothing listens any more, or not yet
                    self.got["refused"] += 1
                    self._over.wait(0.05)
                except httpx.TransportError as error:
                    self.got[repr(error)] += 1
                else:
                    self.got[answer.status_code] += 1
                    self.closing += answer.headers.get("connection") == "close"

    def stop(self) -> None:
        self._over.set()


@contextmanager
def load(server: Server, clients: int, *, keep_alive: bool = True, **body: int) -> Iterator[Load]:
    asking = Load(server.url, body, keep_alive=keep_alive)
    threads = [threading.Thread(target=asking.run) for _ in range(clients)]
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


def replaced(server: Server) -> float:
    return counted(httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text, "nelumbo_workers_replaced_total")


def test_a_killed_worker_is_replaced_with_a_log_line_and_a_count_and_fails_its_own_requests_alone(
    models: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", models=models, workers=2) as server:
        known, before = wait_for_workers(server, 2), pids(server)
        with load(server, clients=4) as asking:
            wait_until(lambda: asking.got[200] > 20, server)
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda: len(pids(server) - {min(before)}) == 2, server)
            wait_for_workers(server, 3, known=known)
        assert sum(asking.got.values()) - asking.got[200] <= 4, asking.got  # what each client had sent to the dead one
        assert f"Worker {min(before)} was killed by SIGKILL; replaced by {max(pids(server))}" in server.said()
        assert replaced(server) == 1
        with server.client() as client:
            assert counted(client.get("/metrics").text, "nelumbo_queue_images") == 0


def test_a_killed_single_worker_is_replaced_and_waiting_clients_are_answered(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models) as server:
        os.kill(*pids(server), signal.SIGKILL)
        assert httpx.post(f"{server.url}/generate", timeout=PATIENCE).status_code == 200


def test_a_hung_worker_is_replaced_after_the_timeout_of_the_health_check(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2, worker_timeout=HUNG) as server:
        wait_for_workers(server, 2)
        wait_until(lambda: "Serving on" in server.said(), server)
        stopped = min(pids(server))
        with load(server, clients=8) as asking:
            wait_until(lambda: asking.got[200] > 20, server)
            os.kill(stopped, signal.SIGSTOP)
            wait_until(lambda: f"Worker {stopped} did not answer" in server.said(), server)
            wait_until(lambda: len(pids(server) - {stopped}) == 2, server)
        assert asking.got[200] == sum(asking.got.values()) - asking.got["refused"] - lost(asking)
        assert lost(asking) <= 8  # what each client had sent to the hung one; none waits for ever
        assert replaced(server) == 1


def lost(asking: Load) -> int:
    return sum(count for name, count in asking.got.items() if isinstance(name, str) and name != "refused")


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
@pytest.mark.parametrize("n", [1, 16])
def test_sigterm_loses_no_request(models: Path, tmp_path: Path, n: int, keep_alive: bool) -> None:
    with (
        serving(tmp_path / "log", models=models, workers=2, drain=DRAIN) as server,
        load(server, 8, keep_alive=keep_alive, n=n) as asking,
    ):
        wait_for_workers(server, 2)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        while (answer := httpx.get(f"{server.url}/readyz", timeout=PATIENCE)).status_code == 200:
            assert time.monotonic() - told < DRAIN
        assert answer.json()["detail"] == "Not ready: the server is stopping."
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - told >= DRAIN
        asking.stop()
    assert set(asking.got) <= {200, "refused"}, asking.got
    assert asking.closing > 0


def test_a_worker_that_is_told_to_stop_alone_is_replaced_and_loses_no_request(models: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "log", models=models, workers=2) as server,
        load(server, 8, keep_alive=False) as asking,
    ):
        known, told = wait_for_workers(server, 2), min(pids(server))
        os.kill(told, signal.SIGTERM)
        wait_until(lambda: len(pids(server) - {told}) == 2, server)
        wait_for_workers(server, 3, known=known)
        asking.stop()
    assert set(asking.got) == {200}, asking.got


def test_a_second_sigterm_does_not_hurry_it_and_ctrl_c_does(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, drain=600) as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503, server)
        server.process.send_signal(signal.SIGTERM)
        os.kill(*pids(server), signal.SIGTERM)
        assert httpx.post(f"{server.url}/generate").status_code == 200
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.said()


def test_ctrl_c_that_reaches_the_supervisor_alone_ends_all(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2, drain=600) as server:
        workers = [psutil.Process(pid) for pid in pids(server)]
        assert server.stop(signal.SIGINT) == 0
        assert not psutil.wait_procs(workers, timeout=0)[1]


def test_a_server_listens_on_its_one_port_and_on_nothing_else(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2) as server:
        wait_for_workers(server, 2)
        own = {
            server.process.pid,
            *(child.pid for child in psutil.Process(server.process.pid).children(recursive=True)),
        }
        listed = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
        ours = [line for line in listed if own & {int(pid) for pid in re.findall(r"pid=(\d+)", line)}]
        assert [line.split()[3] for line in ours] == [server.url.removeprefix("http://")]


def test_servers_of_one_user_do_not_wipe_each_others_metrics_and_leave_no_folder(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with serving(tmp_path / "first", models=models) as first:
        for _ in range(3):
            httpx.post(f"{first.url}/generate")
        with serving(tmp_path / "second", models=models) as second:
            httpx.post(f"{second.url}/generate")
            counts = [counted(httpx.get(f"{one.url}/metrics").text, "nelumbo_images_total") for one in (first, second)]
            assert second.stop() == 0
        assert counts == [3, 1]
        assert first.stop() == 0
    assert not list((tmp_path / "tmp").glob("nelumbo-*"))


def test_a_killed_supervisor_leaves_no_worker_behind_and_the_port_to_the_next(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2) as server:
        workers = [psutil.Process(pid) for pid in pids(server)]
        server.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
        assert not alive
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/readyz")
