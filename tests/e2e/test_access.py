import http.client
import json
import os
import signal
from pathlib import Path

import bentoml
import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from service import keys
from tests.e2e.browser import browsing, visiting
from tests.e2e.redis import redis
from tests.e2e.server import counted, free_port, serving, wait_for_workers

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


def test_a_bentoml_client_may_show_a_key(models: Path, file: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "log", models=models, api_keys=file) as server,
        bentoml.SyncHTTPClient(server.url, token=KEY) as client,
    ):
        assert np.asarray(client.render(latents=np.zeros((2, 8), np.float32))).shape == (2, 16, 16, 1)


def test_two_workers_count_together_in_redis_and_draw_on_when_it_is_away(
    models: Path, file: Path, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"workers": 2, "api_keys": file, "quota": "20/day", "limits_uri": f"redis://127.0.0.1:{port}"}

    def draw() -> int:
        """Ask on a connection of its own, so that both workers are asked."""
        return httpx.post(f"{server.url}/generate", headers={"x-api-key": KEY}).status_code

    def uncounted() -> float:
        return counted(httpx.get(f"{server.url}/metrics").text, "nelumbo_uncounted_requests_total")

    def draw_all() -> None:
        """Draw until the key has had its images: 20, and those that Redis was too slow to count, here mostly none."""
        before, drawn, refused = uncounted(), 0, 0
        while refused < 5:
            status = draw()
            assert status in (200, 429)
            drawn, refused = drawn + (status == 200), refused + (status == 429)
        assert 20 <= drawn <= 20 + uncounted() - before

    with redis(port) as first, serving(tmp_path / "log", models=models, **settings) as server:
        wait_for_workers(server, 2, status=401)
        draw_all()
        before = uncounted()
        os.kill(first.pid, signal.SIGSTOP)  # it hangs
        assert [draw() for _ in range(10)] == [200] * 10
        first.kill()
        first.wait()
        assert [draw() for _ in range(10)] == [200] * 10
        assert httpx.post(f"{server.url}/generate").status_code == 401  # the keys are still asked for
        assert uncounted() - before == 20
        assert "not counted" in server.said()
        with redis(port):
            draw_all()


def test_a_person_is_asked_for_the_key_once(models: Path, file: Path, tmp_path: Path) -> None:
    given = ["wrong", KEY]
    with (
        serving(tmp_path / "log", models=models, api_keys=file) as server,
        browsing() as browser,
        visiting(browser, server.url, errors=True) as page,
    ):
        expect(page.locator("#status")).to_contain_text("Send an API key")  # Playwright gave none
        page.on("dialog", lambda dialog: dialog.accept(given.pop(0)))
        page.reload()
        expect(page.locator("#grid .view img[src]")).to_have_count(16)
        expect(page.locator(".model img").first).to_have_js_property("naturalWidth", 64)
        page.reload()
        expect(page.locator("#grid .view img[src]")).to_have_count(16)
        assert given == []
        page.locator("#grid .view").first.click()
        command = page.locator("#one-command").input_value()
        assert '-H "X-API-Key: $KEY"' in command
        assert KEY not in command
