"""Several servers behind deploy/haproxy/haproxy.cfg."""

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import keys
from tests.e2e.proxy import Proxy, proxying
from tests.e2e.redis import redis
from tests.e2e.server import ADMIN, PATIENCE, Server, counted, free_port, serving
from tests.waiting import wait_for

IMAGE = "/images/rgb@1/42.png"
SPELT = ("/admin/reload", "/%61dmin/reload", "http://elsewhere/admin/reload", "/admin%2Freload")


@contextmanager
def fleet(folder: Path, models: Path, count: int = 2, **settings: object) -> Iterator[tuple[list[Server], Proxy]]:
    """Run servers, and the proxy before them."""
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(folder / f"{i}.log", models=models, **settings)) for i in range(count)]
        urls = [server.url for server in servers]
        yield servers, stack.enter_context(proxying(folder, urls, NELUMBO_REQUESTS_IN_10_S="1000000"))


@pytest.fixture(scope="module")
def two(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Server], Proxy]]:
    with fleet(tmp_path_factory.mktemp("fleet"), models) as running:
        yield running


def prefix(answer: httpx.Response) -> str:
    """Return what the ids of a worker's answers begin with."""
    return answer.headers["x-request-id"].partition("-")[0]


def own_prefix(server: Server) -> str:
    return prefix(httpx.get(f"{server.url}/livez"))


def drawn(servers: list[Server], route: str) -> float:
    """Return how many requests of a route all servers have answered with 200."""
    texts = [httpx.get(f"{server.url}/metrics").text for server in servers]
    return sum(counted(text, "nelumbo_requests_total", route=route, status="200") for text in texts)


def test_every_server_draws_the_same_bytes_for_a_seed(two: tuple[list[Server], Proxy]) -> None:
    servers, proxy = two
    bodies: dict[str, set[bytes]] = {}

    def all_have_answered() -> bool:
        answer = httpx.post(f"{proxy.url}/generate", json={"model": "rgb", "seed": 42}).raise_for_status()
        bodies.setdefault(prefix(answer), set()).add(answer.content)
        return len(bodies) == len(servers)

    wait_for(all_have_answered)
    assert bodies.keys() == {own_prefix(server) for server in servers}
    assert len(set.union(*bodies.values())) == 1


def test_a_cached_image_asks_no_server_again_and_is_revalidated(two: tuple[list[Server], Proxy]) -> None:
    servers, proxy = two
    first = httpx.get(proxy.url + IMAGE).raise_for_status()
    assert "x-request-id" in first.headers
    before = drawn(servers, "/images/{model}/{file}")
    again = httpx.get(proxy.url + IMAGE)
    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, first.headers["etag"])
    assert "age" in again.headers
    assert "x-request-id" not in again.headers  # it would be that of the first request
    kept = httpx.get(proxy.url + IMAGE, headers={"if-none-match": first.headers["etag"]})
    assert (kept.status_code, kept.content) == (304, b"")
    assert drawn(servers, "/images/{model}/{file}") == before
    assert httpx.get(f"{proxy.url}{IMAGE}?scale=2").content != first.content
    latest = [httpx.get(f"{proxy.url}/images/rgb/42.png") for _ in range(3)]
    assert [answer.status_code for answer in latest] == [307] * 3
    assert not any("age" in answer.headers for answer in latest)


def test_the_servers_agree_on_what_a_cache_has(two: tuple[list[Server], Proxy]) -> None:
    servers, _ = two
    etag = httpx.get(servers[0].url + IMAGE).headers["etag"]
    assert httpx.get(servers[1].url + IMAGE, headers={"if-none-match": etag}).status_code == 304


@pytest.mark.parametrize(
    "path", ["/admin/reload", "/%61dmin/reload", "http://elsewhere/admin/reload", "/admin%2Freload"]
)
def test_nobody_reaches_admin_or_metrics_through_the_proxy(two: tuple[list[Server], Proxy], path: str) -> None:
    servers, proxy = two
    assert httpx.post(f"{servers[0].url}/admin/reload", headers=ADMIN).status_code == 200
    for asked, method in ((path, "POST"), (path.replace("admin/reload", "metrics"), "GET")):
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))  # sends a path as it is
        connection.request(method, asked, headers={**ADMIN, "X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["type"]) == (404, "/problems/not-found")


def load(proxy: Proxy, over: threading.Event, got: Counter[int | str]) -> None:
    with httpx.Client(base_url=proxy.url, timeout=PATIENCE) as client:
        while not over.is_set():
            try:
                got[client.post("/generate", json={"n": 16}).status_code] += 1
            except httpx.TransportError as error:
                got[repr(error)] += 1


@contextmanager
def loaded(proxy: Proxy, clients: int = 8) -> Iterator[Counter[int | str]]:
    """Have clients ask all the time, without a second try; yields what they got, by status or error."""
    over, got = threading.Event(), Counter[int | str]()
    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(load, proxy, over, got) for _ in range(clients)]
        try:
            wait_for(lambda: got.total() > 10 * clients)
            yield got
        finally:
            over.set()
    for one in asking:
        one.result()


def some_more(got: Counter[int | str]) -> None:
    begun = got.total()
    wait_for(lambda: got.total() > begun + 100)


def test_a_killed_server_costs_no_answer(models: Path, tmp_path: Path) -> None:
    with fleet(tmp_path, models) as (servers, proxy):
        with loaded(proxy) as got:
            os.killpg(servers[0].process.pid, signal.SIGKILL)
            wait_for(lambda: not proxy.is_up(0))
            some_more(got)
        assert got.keys() == {200}
        assert proxy.count("haproxy_backend_redispatch_warnings_total", proxy="nelumbo") > 0
        os.killpg(servers[1].process.pid, signal.SIGKILL)
        wait_for(lambda: not proxy.is_up(1))
        answer = httpx.post(f"{proxy.url}/generate")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
        assert answer.headers["retry-after"] == "1"


def test_a_draining_server_gets_no_new_requests_and_loses_none(models: Path, tmp_path: Path) -> None:
    with fleet(tmp_path, models, drain=20) as (servers, proxy):
        leaving, staying = map(own_prefix, servers)
        with loaded(proxy) as got:
            os.kill(servers[0].process.pid, signal.SIGTERM)
            wait_for(lambda: not proxy.is_up(0))
            asked = [prefix(httpx.post(f"{proxy.url}/generate")) for _ in range(50)]
            assert own_prefix(servers[0]) == leaving  # it still serves whoever asks it directly
            assert set(asked) == {staying}
            os.kill(servers[0].process.pid, signal.SIGINT)  # enough of draining
            assert servers[0].process.wait(PATIENCE) == 0
            some_more(got)
        assert got.keys() == {200}


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it got."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is sent at once: HAProxy's checks close the connection after its first line

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): self.headers.get_all(name) for name in self.headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_clients_say_of_their_address_is_replaced(echo: str, tmp_path: Path) -> None:
    said = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2"), ("X-Real-IP", "192.0.2.1")]
    said += [("Forwarded", "for=192.0.2.1;proto=https"), ("X-Forwarded-Proto", "https"), ("Host", "draw.example")]
    with proxying(tmp_path, [echo]) as proxy:
        got = httpx.get(f"{proxy.url}/anything", headers=said).json()
    assert got["x-forwarded-for"] == ["127.0.0.1"]
    assert got["x-forwarded-proto"] == ["http"]
    assert got["host"] == ["draw.example"]
    assert not got.keys() & {"x-real-ip", "forwarded"}


def test_an_address_that_floods_is_refused(echo: str, tmp_path: Path) -> None:
    with proxying(tmp_path, [echo], NELUMBO_REQUESTS_IN_10_S="20") as proxy, httpx.Client() as client:
        answers = [client.get(f"{proxy.url}/anything") for _ in range(30)]
    assert [answer.status_code for answer in answers[:20]] == [200] * 20
    refused = answers[-1]
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/rate-limited")
    assert refused.headers["retry-after"] == "10"
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_quota_holds_over_all_servers_and_no_cache_keeps_what_needs_a_key(models: Path, tmp_path: Path) -> None:
    key, port = keys.new(), free_port()
    (tmp_path / "keys").write_text(keys.line("mobile", key))
    settings = {"api_keys": tmp_path / "keys", "quota": "20/day", "limits_uri": f"redis://127.0.0.1:{port}"}
    with (
        redis(port),
        fleet(tmp_path, models, **settings) as (servers, proxy),
        httpx.Client(base_url=proxy.url, headers={"x-api-key": key}, timeout=PATIENCE) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        images = [client.get(IMAGE) for _ in range(2)]
        assert not any("age" in image.headers for image in images)
        assert httpx.get(proxy.url + IMAGE).status_code == 401
        statuses = Counter(pool.map(lambda _: client.post("/generate").status_code, range(30)))
        assert statuses == {200: 18, 429: 12}
        assert all(drawn([server], "/generate") > 0 for server in servers)
