"""Invalid requests, byte by byte, to a real server."""

import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from service.runtime.protocol import MAX_FRAMING, MAX_HEAD, MAX_HEADERS, MAX_PIPELINE
from service.web.headers import SAFE
from tests import tiny
from tests.e2e.server import ADMIN, BENTOML, Server, counted, serving

HEAD = b"POST /generate HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def exchange(server: Server, *sent: bytes) -> tuple[int, httpx.Headers, bytes]:
    """Send bytes on a connection and read until the server hangs up, or its answer is whole."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        try:
            for part in sent:
                connection.sendall(part)
        except OSError:  # the server has hung up on what comes too long
            pass
        received = b""
        while b"\r\n\r\n" not in received and (data := connection.recv(2**16)):
            received += data
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return int(status.split()[1]), httpx.Headers(headers), body


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/metrics", "/livez", "/readyz", "/schema.json", "/models", "/nothing"]
)
def test_every_answer_has_safe_headers(server: Server, path: str) -> None:
    answer = httpx.get(f"{server.url}{path}")
    for name, value in SAFE:
        assert answer.headers.get_list(name.decode()) == [value.decode()] or name == b"content-security-policy"
    assert answer.headers.get_list("content-security-policy")[0].startswith("default-src 'none'")
    assert len(answer.headers.get_list("content-security-policy")) == 1


@pytest.mark.parametrize("path", ["/generate", "/interpolate", "/render"])
@pytest.mark.parametrize("body", [{"latents": []}, {"seed": 1}])
def test_and_so_has_what_is_drawn_or_refused(server: Server, path: str, body: dict[str, object]) -> None:
    answer = httpx.post(f"{server.url}{path}", json=body)
    assert {name.decode(): value.decode() for name, value in SAFE}.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_invalid_http_gets_a_problem_document(server: Server, sent: bytes) -> None:
    status, headers, body = exchange(server, sent)
    assert (status, headers["content-type"], headers["connection"]) == (400, "application/problem+json", "close")
    assert b"Send valid HTTP." in body
    assert headers["x-content-type-options"] == "nosniff"


POST = HEAD + b"Content-Type: application/json\r\n"
BODY = b'{"seed":1}'
IN_CHUNKS = b"a\r\n" + BODY + b"\r\n0\r\n\r\n"
BEHIND = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"  # what a proxy took for a part of the body


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + IN_CHUNKS,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + IN_CHUNKS,
        POST + b"Content-Length: 10\r\nContent-Length: 5\r\n\r\n" + BODY,
        POST + b"Content-Length: 10, 10\r\n\r\n" + BODY,
        POST + b"Content-Length: +10\r\n\r\n" + BODY,
        POST + b"Content-Length : 10\r\n\r\n" + BODY,
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
        POST + b"Transfer-Encoding : chunked\r\n\r\n" + IN_CHUNKS,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n" + IN_CHUNKS,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + IN_CHUNKS,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + IN_CHUNKS,
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + IN_CHUNKS,
        POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n" + IN_CHUNKS,
        POST + b"X: a\rContent-Length: 10\r\n\r\n" + BODY,
        (POST + b"Content-Length: 10\r\n\r\n").replace(b"\r\n", b"\n") + BODY,
        CHUNKED + b"10000000000000000a\r\n" + BODY + b"\r\n0\r\n\r\n",
        CHUNKED + b"-a\r\n" + BODY + b"\r\n0\r\n\r\n",
        CHUNKED + b"0xa\r\n" + BODY + b"\r\n0\r\n\r\n",
        CHUNKED + b"a\n" + BODY + b"\n0\n\n",
        CHUNKED + b"a\r\n" + BODY + b"xx0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ],
)
def test_a_request_that_ends_or_goes_elsewhere_for_others_is_refused_and_what_is_behind_it_not_read(
    server: Server, sent: bytes
) -> None:
    assert statuses(server, sent + BEHIND) == [400]


def test_http_1_0_needs_no_host(server: Server) -> None:
    assert statuses(server, b"GET /livez HTTP/1.0\r\n\r\n") == [200]


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        HEAD + b"".join(b"X-%d: x\r\n" % i for i in range(10_000)) + b"\r\n",
        HEAD + b"".join(b"X-%d: x\r\n" % i for i in range(MAX_HEADERS)) + b"\r\n",
        b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"X: " + b"x" * 2 * MAX_FRAMING,  # it does not end
        CHUNKED + b"0\r\n" + b"".join(b"X-%d: x\r\n" % i for i in range(10_000)) + b"\r\n",  # trailers
        CHUNKED + b"0\r\nX: " + b"x" * 2 * MAX_FRAMING,
        CHUNKED + b"1;" + b"x" * 2 * MAX_FRAMING,
        CHUNKED + b"1\r\n \r\n" * (MAX_FRAMING // 5 + 1),  # bytes of the body, each with five of framing
    ],
)
def test_a_head_that_is_too_large_is_431(server: Server, sent: bytes) -> None:
    status, headers, body = exchange(server, *(sent[i : i + 2**14] for i in range(0, len(sent), 2**14)))
    assert (status, headers["content-type"]) == (431, "application/problem+json")
    assert b"at most 100 headers" in body


def test_large_headers_and_small_chunks_that_are_within_bounds_are_taken(server: Server) -> None:
    many = HEAD + b"".join(b"X-%d: %s\r\n" % (i, b"x" * 600) for i in range(MAX_HEADERS - 2)) + b"\r\n"
    assert exchange(server, many)[0] == 200
    body = b'{"seed":1}' + b" " * 1000
    chunks = CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert exchange(server, chunks)[0] == 200


def test_a_body_before_a_request_is_no_framing_of_it(server: Server) -> None:
    body = b'{"seed":1}' + b" " * (MAX_FRAMING + 2**16)
    first = HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert statuses(server, first + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == [200, 200]


def test_so_many_requests_may_wait_on_a_connection_and_no_more(server: Server) -> None:
    smallest = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    found = statuses(server, smallest * 1000)
    assert found[:MAX_PIPELINE] == [200] * MAX_PIPELINE  # and one that did not wait, or a few
    assert found[-1] == 400
    assert len(found) < 2 * MAX_PIPELINE
    last = smallest.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert statuses(server, smallest * MAX_PIPELINE + last) == [200] * (MAX_PIPELINE + 1)


def statuses(server: Server, sent: bytes) -> list[int]:
    """Send requests one after the other, and return the statuses of all answers until the server hangs up."""
    host, port = server.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), 20) as connection:
        with suppress(OSError):
            connection.sendall(sent)
        with suppress(ConnectionResetError):
            while data := connection.recv(2**16):
                received += data
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def test_a_chunked_body_is_cut_off_as_it_comes(server: Server) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    assert exchange(server, CHUNKED, *([chunk] * 100))[0] == 413


def test_endless_headers_take_no_memory(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models) as server:
        worker = max(psutil.Process(server.process.pid).children(recursive=True), key=lambda one: one.memory_info().rss)
        before = worker.memory_info().rss
        for _ in range(20):
            exchange(server, HEAD, *([b"X: " + b"x" * 2**20] * 16))
        assert worker.memory_info().rss - before < 32 * 2**20
        assert httpx.post(f"{server.url}/generate").status_code == 200
        assert "Traceback" not in server.said()


def test_a_server_that_is_not_ready_reveals_no_path(tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=tmp_path, command=[*BENTOML, "serve"], until="/livez") as server:
        for path in ("/readyz", "/models"):
            answer = httpx.get(f"{server.url}{path}")
            assert answer.status_code == 503
            assert "no model in models/" in answer.json()["detail"]
            assert str(tmp_path) not in answer.text
        assert str(tmp_path) in server.said()


def test_models_that_vanish_end_nothing_and_no_answer_tells_where_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    tiny.write(folder, tiny.card("one"))
    tiny.write(folder, tiny.card("two"))
    with serving(tmp_path / "log", models=folder) as server, server.client() as client:
        (folder / "one" / "1" / "sha256").write_text(f"{'0' * 64}  model.onnx\n")
        partly = client.post("/admin/reload", headers=ADMIN)
        assert partly.json()["models"] == ["one@1", "two@1"]  # as it was
        (refused,) = partly.json()["refused"]
        assert refused["type"] == "wrong-digest"
        assert refused["detail"].startswith("models/one/1/model.onnx")
        shutil.rmtree(folder)
        wholly = client.post("/admin/reload", headers=ADMIN)
        assert wholly.status_code == 409
        drawn = [client.post("/generate", json={"model": name}) for name in ("one", "two")]
        assert [answer.status_code for answer in drawn] == [200, 200]
        for answer in (partly, wholly, client.get("/models"), client.get("/readyz")):
            assert str(tmp_path) not in answer.text


def received(server: Server, sent: bytes) -> bytes:
    """Send bytes and return all that comes until the server hangs up."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(sent)
        data = b""
        while more := connection.recv(2**16):
            data += more
        return data


def test_a_valid_request_before_garbage_is_answered(server: Server) -> None:
    body = b'{"seed":1}'
    good = HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    for requests in (1, 3):
        data = received(server, good * requests + b"garbage\r\n\r\n")
        assert data.count(b"HTTP/1.1 200 ") == requests
        assert data.count(b"HTTP/1.1 400 ") == 1
        assert data.rindex(b"HTTP/1.1 200 ") < data.index(b"HTTP/1.1 400 ")


def test_requests_refused_by_the_protocol_are_counted(server: Server) -> None:
    def requests(status: str) -> float:
        return counted(httpx.get(f"{server.url}/metrics").text, "nelumbo_requests_total", status=status)

    for status, sent in (("400", b"nonsense\r\n\r\n"), ("431", HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n")):
        before = requests(status)
        assert exchange(server, sent)[0] == int(status)
        assert requests(status) == before + 1
