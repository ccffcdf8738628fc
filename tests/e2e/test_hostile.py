"""A real server whose models' folder has hostile files in it: the good model is served throughout."""

import ctypes
import os
import signal
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.serving import process
from tests import hostile, tiny
from tests.e2e.server import ADMIN, PATIENCE, Server, counted, serving, wait_for_workers, wait_until
from tests.e2e.test_reload import under_load

LONG = 600  # seconds for a hundred files on a machine that has little time for them
TGKILL = {"x86_64": 234, "aarch64": 131}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write(tmp_path / "models", tiny.card("grey"))
    return tmp_path / "models"


def workers(server: Server) -> set[int]:
    return {int(found.name) for found in process.workers(server)}


@pytest.mark.timeout(LONG)
def test_the_good_model_is_served_beside_the_whole_corpus(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=folder, workers=2) as server:
        before = workers(server)
        with under_load(server) as counts:
            names = hostile.write_all(folder)
            answer = httpx.post(f"{server.url}/admin/reload", headers=ADMIN, timeout=LONG).json()
            wait_for_workers(server, 2)
        assert set(counts) == {(200, "grey@1")}
        assert answer["models"] == ["grey@1"]
        assert len(answer["refused"]) == len(names)
        assert all(any(f"/{name}/1" in one["detail"] for one in answer["refused"]) for name in names)
        assert not {one["type"] for one in answer["refused"]} & {"crashed", "does-not-run", "not-checked", "timeout"}
        assert workers(server) == before
        assert server.stop() == 0
        assert "Traceback" not in server.said()
    with serving(tmp_path / "again", models=folder) as server:
        assert [model["name"] for model in httpx.get(f"{server.url}/models").json()["models"]] == ["grey"]
        # Without a name it is drawn with the default, which is decided once all that come before it are refused.
        wait_until(lambda: httpx.post(f"{server.url}/generate").status_code == 200, server)
        assert server.stop() == 0


def test_a_slow_file_delays_no_other_model_and_is_named(folder: Path, tmp_path: Path) -> None:
    slow = hostile.slow().SerializeToString()
    hostile.write(folder, "a-slow-one", slow)
    with serving(tmp_path / "log", models=folder, load_seconds=10) as server:
        assert "(timeout)" not in server.said()  # it is still being checked
        assert httpx.post(f"{server.url}/generate", json={"model": "grey"}).status_code == 200
        assert httpx.post(f"{server.url}/generate").status_code == 503  # it would be the default, the first by name
        wait_until(lambda: "(timeout)" in server.said(), server)
        assert "a-slow-one/1/model.onnx" in server.said()
        assert httpx.post(f"{server.url}/generate").status_code == 200
        hostile.write(folder, "b-slow-one", slow)
        with under_load(server) as counts:
            answer = httpx.post(f"{server.url}/admin/reload", headers=ADMIN, timeout=PATIENCE).json()
            assert [one["type"] for one in answer["refused"] if "b-slow-one" in one["detail"]] == ["timeout"]
        assert set(counts) == {(200, "grey@1")}
        assert server.stop() == 0


def test_a_stop_does_not_wait_for_a_file_that_is_being_checked(folder: Path, tmp_path: Path) -> None:
    hostile.write(folder, "slow", hostile.slow().SerializeToString())
    with serving(tmp_path / "log", models=folder, load_seconds=3600) as server:
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert server.stop() == 0
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert not alive


def crash_while_drawing(server: Server, model: str) -> None:
    """Have a worker draw with a model, and end the thread that does with the signal of a bad kernel."""
    (worker,) = workers(server)

    def ask() -> None:
        try:
            httpx.post(f"{server.url}/generate", json={"model": model, "n": 64}, timeout=PATIENCE)
        except httpx.TransportError:
            return  # the worker died

    asking = threading.Thread(target=ask)
    asking.start()
    ctypes.CDLL(None).syscall(TGKILL[os.uname().machine], worker, _busiest(server, worker), int(signal.SIGSEGV))
    asking.join()


def _busiest(server: Server, worker: int) -> int:
    """Wait until a thread of the worker has used a fifth of a second of CPU more than before; returns its id."""
    before = {thread.id: thread.user_time for thread in psutil.Process(worker).threads()}
    found: list[int] = []

    def is_drawing() -> bool:
        threads = psutil.Process(worker).threads()
        found[:] = [thread.id for thread in threads if thread.user_time - before.get(thread.id, 0.0) > 0.2]
        return bool(found)

    wait_until(is_drawing, server)
    return found[0]


@pytest.mark.skipif(os.uname().machine not in TGKILL, reason="the number of tgkill is not known here")
def test_a_model_that_crashes_workers_is_withdrawn_and_the_others_are_served(folder: Path, tmp_path: Path) -> None:
    tiny.write(folder, tiny.card("killer", height=1024, width=1024, channels=3))
    with serving(tmp_path / "log", models=folder) as server:
        for _ in range(2):
            wait_until(lambda: len(workers(server)) == 1, server)
            wait_for_workers(server, 1, "/models/killer")
            crash_while_drawing(server, "killer")
        wait_for_workers(server, 1, "/models/killer", status=404)
        listed = httpx.get(f"{server.url}/models").json()
        assert [model["name"] for model in listed["models"]] == ["grey"]
        assert len(listed["withdrawn"]) == 1
        assert "killer@1" in listed["withdrawn"][0]
        assert "killer@1 is withdrawn" in server.said()
        metrics = httpx.get(f"{server.url}/metrics").text
        assert counted(metrics, "nelumbo_models_withdrawn") == 1
        assert httpx.post(f"{server.url}/generate").status_code == 200
        assert server.stop() == 0
