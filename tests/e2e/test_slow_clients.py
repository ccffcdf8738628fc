"""Clients that stall a connection."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.server import Server, serving, wait_until
from tests.e2e.test_processes import pids

PATIENCE = 1.0  # the server's, seconds
MORE = 5.0  # that of one whose clients are to be slow, and yet within it
SOON = 20.0  # seconds after its patience in which a server has hung up
HEAD = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(slow_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log, models=slow_models, client_timeout=PATIENCE) as running:
        yield running


@pytest.fixture(scope="module")
def patient(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("patient") / "log", models=models, client_timeout=MORE) as running:
        yield running


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            data += more
    return data


def holds(server: Server, connection: socket.socket) -> bool:
    """Return whether the worker still has its end of a connection open."""
    (worker,) = pids(server)
    held = psutil.Process(worker).net_connections("tcp")
    return connection.getsockname() in [one.raddr for one in held]


def problem(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize("path", ["/generate", "/render"])
@pytest.mark.parametrize("sent", [b"GET", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{"], ids=["line", "head", "body"])
def test_a_stalled_request_gets_408(server: Server, sent: bytes, path: str) -> None:
    with connected(server) as connection:
        started = time.monotonic()
        connection.sendall(sent.replace(b"/generate", path.encode()))
        problem(received(connection), 408)
        assert PATIENCE <= time.monotonic() - started < PATIENCE + SOON


def test_a_request_sent_byte_by_byte_is_ended_too(server: Server) -> None:
    with connected(server) as connection:
        started = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in HEAD * 10:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        assert PATIENCE <= time.monotonic() - started < PATIENCE + SOON


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(server: Server) -> None:
    with connected(server) as connection:
        assert received(connection) == b""


def test_an_answer_that_is_not_read_is_cut_off(server: Server) -> None:
    body = b'{"n":8}'
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(HEAD + b"Accept: application/zip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        # It is drawn, sent as far as it fits into the system's buffers, and waits.
        wait_until(lambda: holds(server, connection), server)
        wait_until(lambda: not holds(server, connection), server)
        answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        assert len(rest) < length


def test_a_slow_client_within_the_timeout_is_served_and_may_send_another_request(patient: Server) -> None:
    body = b'{"seed":1}'
    with connected(patient) as connection:
        for _ in range(3):
            for part in (HEAD, b"Content-Length: %d\r\n\r\n" % len(body), body):
                connection.sendall(part)
                time.sleep(MORE / 8)
            answer = HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.read(4)) == (200, b"\x89PNG")
            answer.read()


def test_many_slow_clients_do_not_delay_others(patient: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connected(patient)).sendall(HEAD)
        started = time.monotonic()
        assert httpx.get(f"{patient.url}/models", timeout=60).status_code == 200
        assert time.monotonic() - started < MORE  # nor until they are given up


@pytest.mark.slow
def test_a_connection_may_rest_between_two_requests(server: Server) -> None:
    whole = HEAD + b"Content-Length: 2\r\n\r\n{}"
    with connected(server) as connection:
        connection.sendall(whole)
        first = HTTPResponse(connection)
        first.begin()
        assert (first.status, len(first.read()) > 0) == (200, True)
        # uvicorn closes after 5 s, and the timeout of clients is 1 s here; a socket that is closed can be read
        assert select.select([connection], [], [], 7) == ([], [], [])
        connection.sendall(whole)
        second = HTTPResponse(connection)
        second.begin()
        assert second.status == 200
