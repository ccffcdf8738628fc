import http.client
import json
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import bentoml
import httpx
import numpy as np
import pytest
from playwright.sync_api import expect
from redis import Redis

from service import keys
from tests.e2e.browser import browsing, visiting
from tests.e2e.redis import redis
from tests.e2e.server import PATIENCE, Server, counted, free_port, serving, wait_for_workers, wait_until

KEY = keys.new()
LATENTS = {"latents": [[0.5] * 8] * 4}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(keys.line("mobile", KEY))
    return path


def test_bentomls_own_route_asks_for_the_key_and_counts_its_images(models: Path, file: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, api_keys=file, quota="10/day") as server, server.client() as client:
        refused = client.post("/render", json=LATENTS)
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        client.headers["x-api-key"] = KEY
        assert [client.post("/render", json=LATENTS).status_code for _ in range(3)] == [200, 200, 429]
        assert client.post("/generate", json={"seed": 1, "n": 2}).headers["ratelimit"].startswith('"quota";r=0;')
        assert client.post("/generate").status_code == 429
        for media_type in ("multipart/form-data", "application/vnd.bentoml+pickle", "text/plain"):
            answer = client.post("/render", content=b"cos\nsystem\n.", headers={"content-type": media_type})
            assert answer.status_code == 415
        assert counted(client.get("/metrics").text, "nelumbo_limited_total") == 2
        assert KEY not in server.said()


def test_no_spelling_of_a_path_goes_past_the_key(models: Path, file: Path, tmp_path: Path) -> None:
    closed = ("/render", "/generate", "/models")
    spelt = [f"{before}{path}" for path in closed for before in ("/", "/x/..", "/docs/..", "/docs%2F..")]
    spelt += [f"http://elsewhere{path}" for path in closed]
    spelt += [f"{path}{after}" for path in closed for after in ("%0A", "%0D%0A", "%00", "/", "%2F", "?x")]
    with serving(tmp_path / "log", models=models, api_keys=file) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for path in ("/render", *spelt):
            connection = http.client.HTTPConnection(host, int(port))  # sends a path as it is
            connection.request("POST", path, json.dumps(LATENTS), {"Content-Type": "application/json"})
            assert connection.getresponse().status == 401, path


def test_a_bentoml_client_may_send_a_key(models: Path, file: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "log", models=models, api_keys=file) as server,
        bentoml.SyncHTTPClient(server.url, token=KEY) as client,
    ):
        assert np.asarray(client.render(latents=np.zeros((2, 8), np.float32))).shape == (2, 16, 16, 1)


def draw(server: Server) -> int:
    """Ask on a connection of its own, so that each worker is asked, and return the status."""
    answer = httpx.post(f"{server.url}/generate", headers={"x-api-key": KEY}, timeout=PATIENCE)
    return answer.status_code


def uncounted(server: Server) -> float:
    return counted(httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text, "nelumbo_uncounted_requests_total")


def draw_at_once(server: Server, times: int) -> Counter[int]:
    with ThreadPoolExecutor(times) as pool:
        return Counter(pool.map(lambda _: draw(server), range(times)))


def test_two_workers_count_together_in_redis_through_its_pauses_and_restarts(
    models: Path, file: Path, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"workers": 2, "api_keys": file, "quota": "20/day", "limits_uri": f"redis://127.0.0.1:{port}"}
    with redis(port) as first, serving(tmp_path / "log", models=models, **settings) as server:
        wait_for_workers(server, 2, status=401)
        assert draw_at_once(server, 30) == {200: 20, 429: 10}
        with ThreadPoolExecutor(1) as pool:
            os.kill(first.pid, signal.SIGSTOP)
            paused = pool.submit(draw_at_once, server, 10)
            assert httpx.post(f"{server.url}/generate", timeout=PATIENCE).status_code == 401  # nobody else waits
            assert not paused.done()
            os.kill(first.pid, signal.SIGCONT)
            assert paused.result() == {429: 10}
        first.kill()
        first.wait()
        with redis(port) as second:  # it remembers nothing
            assert draw_at_once(server, 30) == {200: 20, 429: 10}
            Redis(port=port).execute_command("DEBUG", "SLEEP", "0.5")
            assert draw_at_once(server, 30) == {429: 30}
            second.kill()
            second.wait()
        assert uncounted(server) == 0


@pytest.mark.parametrize(("failure", "status"), [("open", 200), ("closed", 503)])
def test_what_happens_while_redis_is_away_is_a_setting(
    models: Path, file: Path, tmp_path: Path, failure: str, status: int
) -> None:
    port = free_port()
    settings = {"api_keys": file, "quota": "5/day", "limits_uri": f"redis://127.0.0.1:{port}", "deadline": 4}
    with redis(port) as first, serving(tmp_path / "log", models=models, limits_failure=failure, **settings) as server:
        assert draw_at_once(server, 8) == {200: 5, 429: 3}
        first.kill()
        first.wait()
        assert draw_at_once(server, 10) == {status: 10}
        assert httpx.post(f"{server.url}/generate").status_code == 401  # the keys are still asked for
        assert uncounted(server) == (10 if failure == "open" else 0)
        assert "does not count" in server.said()
        with redis(port):
            wait_until(lambda: "counts images again" in server.said(), server)
            before = uncounted(server)
            assert draw_at_once(server, 40) == {200: 5, 429: 35}
            assert uncounted(server) == before


def test_load_turns_no_quota_off(models: Path, file: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {"api_keys": file, "quota": "5/day", "limits_uri": f"redis://127.0.0.1:{port}"}
    fields = json.dumps({str(i): 0 for i in range(20_000)}).encode()
    latents = json.dumps({"latents": [[0.5] * 512] * 64}).encode()
    headers = {"x-api-key": KEY, "content-type": "application/json"}

    def load(body: bytes) -> None:
        with server.client() as client:
            while not over.is_set():
                assert client.post("/generate", content=body, headers=headers).status_code == 422

    over = Event()
    with redis(port), serving(tmp_path / "log", models=models, **settings) as server:
        assert draw_at_once(server, 8) == {200: 5, 429: 3}
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(load, body) for body in (fields, latents) * 2]
            try:
                assert draw_at_once(server, 256) == {429: 256}
            finally:
                over.set()
            assert [one.result() for one in running] == [None] * 4
        assert uncounted(server) == 0


def test_a_person_is_asked_for_the_key_once(models: Path, file: Path, tmp_path: Path) -> None:
    given = ["wrong", KEY]
    with (
        serving(tmp_path / "log", models=models, api_keys=file) as server,
        browsing() as browser,
        visiting(browser, server.url, errors=True) as page,
    ):
        expect(page.get_by_role("status")).to_contain_text("Send an API key")  # Playwright gave none
        page.on("dialog", lambda dialog: dialog.accept(given.pop(0)))
        page.reload()
        expect(page.locator("#grid .view img[src]")).to_have_count(12)
        expect(page.locator(".model img").first).to_have_js_property("naturalWidth", 64)
        page.reload()
        expect(page.locator("#grid .view img[src]")).to_have_count(12)
        assert given == []
        page.locator("#grid .view").first.click()
        command = page.locator("#one-command").input_value()
        assert '-H "X-API-Key: $KEY"' in command
        assert KEY not in command
