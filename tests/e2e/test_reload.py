import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests import tiny
from tests.e2e.server import ADMIN, BENTOML, PATIENCE, Server, serving, wait_for_workers, wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write(tmp_path / "models", tiny.card("grey"))
    return tmp_path / "models"


@contextmanager
def under_load(server: Server) -> Iterator[Counter[object]]:
    """Ask for pictures from four threads until the block ends; counts answers by status and model, and errors."""
    counts: Counter[object] = Counter()
    over = threading.Event()

    def ask() -> None:
        with server.client() as client:
            while not over.is_set():
                try:
                    answer = client.post("/generate", json={"model": "grey", "seed": 1})
                    counts[answer.status_code, answer.headers.get("x-model")] += 1
                except httpx.TransportError as error:
                    counts[repr(error)] += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join()


def reload_by_request(server: Server) -> None:
    answer = httpx.post(f"{server.url}/admin/reload", headers=ADMIN, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["workers"]) == (200, "all")


def reload_by_signal(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGHUP)


@pytest.mark.parametrize("reload", [reload_by_request, reload_by_signal])
def test_a_new_version_is_served_by_all_workers_without_a_failed_request(
    folder: Path, tmp_path: Path, reload: Callable[[Server], None]
) -> None:
    with serving(tmp_path / "log", models=folder, workers=2) as server:
        with under_load(server) as counts:
            tiny.write(folder, tiny.card("grey", 2), tiny.model(tiny.card("grey", 2), seed=1))
            reload(server)
            wait_for_workers(server, 2, "/models/grey@2")
            wait_until(lambda: counts[200, "grey@2"], server)
        assert set(counts) <= {(200, "grey@1"), (200, "grey@2")}
        assert httpx.post(f"{server.url}/generate", json={"model": "grey@1"}).headers["x-model"] == "grey@1"
        shutil.rmtree(folder / "grey" / "1")
        assert httpx.get(f"{server.url}/models/grey@1").status_code == 200
        reload(server)
        wait_for_workers(server, 2, "/models/grey@1", status=404)
        assert server.stop() == 0
        assert "Traceback" not in server.said()


def test_a_new_model_or_version_does_not_change_what_a_seed_draws(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=folder) as server:
        before = httpx.post(f"{server.url}/generate", json={"seed": 42}).content
        wait_until(lambda: "Default model: grey@1, the first by name" in server.said(), server)
        tiny.write(folder, tiny.card("birds"))
        tiny.write(folder, tiny.card("grey", 2), tiny.model(tiny.card("grey", 2), seed=1))
        reload_by_request(server)
        assert httpx.get(f"{server.url}/models").json()["default"] == "grey@1"
        assert httpx.post(f"{server.url}/generate", json={"seed": 42}).content == before
        for worker in psutil.Process(server.process.pid).children():
            worker.kill()  # the one that takes its place has not seen which was the first
        wait_until(lambda: "replaced by" in server.said(), server)
        wait_until(lambda: is_ready(server), server)
        assert httpx.get(f"{server.url}/models").json()["default"] == "grey@1"
        assert httpx.post(f"{server.url}/generate", json={"seed": 42}).content == before


def is_ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/models/birds", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def test_a_worker_of_bentoml_serve_reloads_alone_and_says_so(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=folder, workers=2, command=[*BENTOML, "serve"]) as server:
        answer = httpx.post(f"{server.url}/admin/reload", headers=ADMIN, timeout=PATIENCE)
        assert (answer.status_code, answer.json()["workers"]) == (200, "one")


def test_a_broken_model_is_refused_and_the_others_are_served(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=folder) as server:
        (tiny.write(folder, tiny.card("bad")) / "model.onnx").write_bytes(b"broken")
        answer = httpx.post(f"{server.url}/admin/reload", headers=ADMIN, timeout=PATIENCE).json()
        assert answer["models"] == ["grey@1"]
        (refused,) = answer["refused"]
        assert refused["type"] == "wrong-digest"
        assert "bad/1/model.onnx" in refused["detail"]
        assert f"{refused['detail']} (wrong-digest)" in server.said()
        assert httpx.post(f"{server.url}/generate").status_code == 200
