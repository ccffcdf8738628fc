import asyncio
import base64
import io
import json
import shutil
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import bentoml
import httpx
import numpy as np
import psutil
import pytest

from service.engine import latents
from service.web.openapi import document
from tests.e2e.server import BENTOML, PATIENCE, WAYS, Server, counted, serving, wait_until
from tests.e2e.test_processes import pids


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def server(request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service, started in both ways."""
    with serving(tmp_path_factory.mktemp("server") / "log", models=models, command=request.param) as running:
        yield running


def test_the_line_that_is_printed_draws_a_png_when_it_is_pasted(models: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    with serving(tmp_path / "log", models=models) as server:
        wait_until(lambda: "Try: " in server.said(), server)
        line = next(line for line in server.said().splitlines() if line.startswith("Try: "))
        subprocess.run(line.removeprefix("Try: "), shell=True, cwd=tmp_path, check=True)
        drawn = (tmp_path / "42.png").read_bytes()
        assert drawn == httpx.post(f"{server.url}/generate", json={"seed": 42}).content
        assert drawn.startswith(b"\x89PNG")


def test_curls_own_accept_header_means_json(server: Server) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    command = ["curl", "-s", "--json", "{}", f"{server.url}/generate"]
    assert subprocess.run(command, check=True, capture_output=True).stdout.startswith(b'{"model"')


def test_a_seed_is_the_same_bytes_alone_and_among_a_hundred(server: Server) -> None:
    seeds = [seed % 10 for seed in range(100)]

    def body(seed: int) -> dict[str, object]:
        return (
            {"seed": seed, "model": "rgb"}
            if seed % 2
            else {"seed": seed, "model": "grey", "truncation": 0.5 + seed / 20}
        )

    async def together() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:
            return await asyncio.gather(*(client.post("/generate", json=body(seed)) for seed in seeds))

    with server.client() as client:
        alone = [client.post("/generate", json=body(seed)).content for seed in range(10)]
    assert len(set(alone)) == 10
    for seed, answer in zip(seeds, asyncio.run(together()), strict=True):
        assert answer.status_code == 200
        assert answer.content == alone[seed]


def same_pictures(url: str) -> list[list[bytes]]:
    """Return the PNGs of 16 seeds, asked for in every way at once, each way a list."""
    seeds = list(range(16))
    ways = [{"seed": 0, "n": 16}, {"seeds": seeds}, {"seeds": seeds[::-1]}]

    async def alone(client: httpx.AsyncClient) -> list[bytes]:
        asked = (client.post("/generate", json={"model": "rgb", "seed": seed}) for seed in seeds)
        return [answer.content for answer in await asyncio.gather(*asked)]

    async def by_url(client: httpx.AsyncClient) -> list[bytes]:
        asked = (client.get(f"/images/rgb@1/{seed}.png") for seed in seeds)
        return [answer.content for answer in await asyncio.gather(*asked)]

    async def as_json(client: httpx.AsyncClient, body: dict[str, object]) -> list[bytes]:
        answer = await client.post("/generate", json={"model": "rgb", **body}, headers={"accept": "application/json"})
        drawn = {one["seed"]: base64.b64decode(one["b64_json"]) for one in answer.json()["data"]}
        return [drawn[seed] for seed in seeds]

    async def as_zip(client: httpx.AsyncClient, body: dict[str, object]) -> list[bytes]:
        answer = await client.post("/generate", json={"model": "rgb", **body}, headers={"accept": "application/zip"})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return [archive.read(f"seed{seed:04d}.png") for seed in seeds]

    async def together() -> list[list[bytes]]:
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            many = [way(client, body) for body in ways for way in (as_json, as_zip)]
            return await asyncio.gather(alone(client), alone(client), by_url(client), *many)

    return asyncio.run(together())


def test_a_seed_is_the_same_bytes_however_it_is_asked_for_and_by_however_many_workers(
    server: Server, models: Path, tmp_path: Path
) -> None:
    drawn = same_pictures(server.url)
    with serving(tmp_path / "log", models=models, workers=2, max_batch=5) as other:
        drawn += same_pictures(other.url)
    assert len(set(drawn[0])) == 16
    assert all(pictures == drawn[0] for pictures in drawn)


def test_a_request_beside_failing_ones_is_not_harmed(server: Server) -> None:
    good = {"seed": 1, "model": "grey"}
    bad = [{"seed": -1}, {"latent": [1]}, {"model": "none"}, {"latents": [[1e3] * 8]}]

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            return await asyncio.gather(
                *(client.post("/generate", json=bad[i % 4] if i % 2 else good) for i in range(80))
            )

    with server.client() as client:
        alone = client.post("/generate", json=good).content
    answers = asyncio.run(together())
    assert all(answer.content == alone for answer in answers[::2])
    assert {answer.status_code for answer in answers[1::2]} <= {200, 404, 422}


def test_probes_and_unknown_paths_are_answered(server: Server) -> None:
    with server.client() as client:
        for path in ("/livez", "/healthz", "/readyz"):
            probed = client.get(path)
            described = document()["paths"][path]["get"]["responses"]["200"].get("headers", {})
            assert (probed.status_code, "x-request-id" in probed.headers) == (200, "X-Request-Id" in described)
        answer = client.get("/static_content/x")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert client.get("/generate").status_code == 405


def test_head_is_answered_like_get_without_a_body(server: Server) -> None:
    with server.client() as client:
        for path in ("/", "/models", "/images/grey@1/1.png", "/docs", "/none"):
            asked, got = client.head(path), client.get(path)
            assert (asked.status_code, asked.content) == (got.status_code, b"")
            assert asked.headers["content-type"] == got.headers["content-type"]


def test_clients_that_hang_up_leave_a_server_that_serves_and_ends_at_once(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for sent in (
            b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
            b"POST /render HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
            b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"nonsense\r\n\r\n",
        ):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(sent)
        with server.client() as client:
            assert client.post("/generate").status_code == 200
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 20
        assert "Traceback" not in server.said()


def test_what_its_client_has_left_is_not_drawn(slow_models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=slow_models, max_batch=1) as server, server.client() as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/generate", json={"n": 64}, timeout=httpx.Timeout(PATIENCE, read=0.3))
        assert client.post("/generate").status_code == 200
        wait_until(lambda: counted(client.get("/metrics").text, "nelumbo_dropped_images_total") > 0, server)
        wait_until(lambda: counted(client.get("/metrics").text, "nelumbo_requests_total", status="499") == 1, server)


def test_a_bentoml_client_renders_arrays(server: Server) -> None:
    drawn = np.stack([latents.from_seed(seed, 8) for seed in (1, 2, 3)])
    with bentoml.SyncHTTPClient(server.url) as client, server.client() as other:
        before = counted(other.get("/metrics").text, "nelumbo_images_total")
        images = np.asarray(client.render(latents=drawn))
        assert counted(other.get("/metrics").text, "nelumbo_images_total") == before + 3
    assert (images.shape, images.dtype) == ((3, 16, 16, 1), np.uint8)
    assert len({image.tobytes() for image in images}) == 3


@pytest.mark.parametrize(
    "wrong", [[[0.0] * 7], [0.0] * 8, [[1e9] * 8], [[0.0] * 8] * 65, [["a"] * 8], [[None] * 8], [], [[]], "x", 1]
)
def test_a_wrong_latent_from_a_bentoml_client_is_422_for_that_client_only(server: Server, wrong: object) -> None:
    good = {"latents": [[0.5] * 8]}
    with ThreadPoolExecutor(8) as pool, server.client() as client:
        bodies = [{"latents": wrong} if i % 2 else good for i in range(8)]
        answers = list(pool.map(lambda body: client.post("/render", json=body), bodies))
    assert [answer.status_code for answer in answers] == [200, 422] * 4


def test_a_bentoml_client_is_held_to_the_same_length_of_body(server: Server) -> None:
    with server.client() as client:
        assert client.post("/render", content=b" " * (2**20 + 1)).status_code == 413
        assert client.post("/render", content=(b" " * 2**16 for _ in range(20))).status_code == 413


def test_a_full_queue_refuses_immediately_and_the_server_keeps_serving(slow_models: Path, tmp_path: Path) -> None:
    limits = {"queue": 8, "max_images": 8, "max_batch": 1}
    with serving(tmp_path / "log", models=slow_models, **limits) as server, server.client() as client:
        with ThreadPoolExecutor(12) as pool:  # one client's: each of its own takes a while to make
            answers = list(pool.map(lambda _: client.post("/generate", json={"n": 4}), range(12)))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert all(answer.headers["retry-after"] == "1" for answer in refused)
        assert all(answer.headers["content-type"] == "application/problem+json" for answer in refused)
        assert client.post("/generate").status_code == 200
        assert counted(client.get("/metrics").text, "nelumbo_rejected_total") == len(refused)


def test_a_request_past_its_deadline_is_504_and_not_drawn(slow_models: Path, tmp_path: Path) -> None:
    limits = {"deadline": 2, "max_images": 512, "max_batch": 1}  # enough for one picture, and for no 512
    with serving(tmp_path / "log", models=slow_models, **limits) as server, server.client() as client:
        started = time.monotonic()
        answer = client.post("/generate", json={"n": 512})
        assert (answer.status_code, answer.headers["content-type"]) == (504, "application/problem+json")
        assert time.monotonic() - started < 10
        assert client.post("/generate").status_code == 200
        wait_until(lambda: counted(client.get("/metrics").text, "nelumbo_dropped_images_total") > 0, server)


def test_two_workers_count_together(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2) as server:
        for _ in range(40):
            httpx.post(f"{server.url}/generate")

        def requests() -> float:  # counted once they are answered
            text = httpx.get(f"{server.url}/metrics").text
            return counted(text, "nelumbo_requests_total", route="/generate", status="200")

        wait_until(lambda: requests() >= 40, server)
        assert requests() == 40
        text = httpx.get(f"{server.url}/metrics").text
        assert counted(text, "nelumbo_images_total") == 40
        assert counted(text, "nelumbo_model_info", model="grey@1", provider="cpu") == 1  # however many have it


def asked(server: Server, **body: int) -> HTTPConnection:
    """Return a connection on which pictures were asked for."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE)
    connection.request("POST", "/generate", json.dumps(body), {"Content-Type": "application/json"})
    return connection


def answered(connection: HTTPConnection) -> tuple[int, bytes]:
    answer = connection.getresponse()
    return answer.status, answer.read()


def accepted(server: Server) -> int:
    """Return how many connections the workers have."""
    held = [connection for pid in pids(server) for connection in psutil.Process(pid).net_connections("tcp")]
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in held)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_finishes_what_was_accepted_and_exits_0(
    slow_models: Path, tmp_path: Path, workers: int
) -> None:
    with serving(tmp_path / "log", models=slow_models, workers=workers) as server, ThreadPoolExecutor(8) as pool:
        connections = [asked(server, seed=i, n=4) for i in range(8)]
        wait_until(lambda: accepted(server) == 8, server)
        answers = pool.map(answered, connections)
        assert server.stop() == 0
        assert [(status, data[:4]) for status, data in answers] == [(200, b"\x89PNG")] * 8
        assert "Traceback" not in server.said()


def test_a_worker_that_cannot_load_lives_and_says_why_it_is_not_ready(tmp_path: Path) -> None:
    settings = {"models": tmp_path, "command": [*BENTOML, "serve"], "until": "/livez"}
    with serving(tmp_path / "log", **settings) as server, server.client() as client:
        for refused in (client.get("/readyz"), client.post("/generate"), client.get("/models")):
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            assert "no model in" in refused.json()["detail"]
            assert refused.headers["retry-after"] == "1"
        assert "Retry-After" in document()["components"]["responses"]["ServiceUnavailable"]["headers"]
        assert client.post("/render", json={"latents": [[0.0] * 8]}).status_code == 503


def test_nothing_that_cannot_serve_says_that_it_is_ready(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(AssertionError, match="no model in"), serving(tmp_path / "log", models=tmp_path / "models"):
        pytest.fail("it got ready")
