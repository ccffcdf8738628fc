"""The server of one worker, in a thread, with an app of large answers."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.runtime.protocol import Protocol
from service.runtime.server import Server
from service.settings import read_settings
from tests.waiting import PATIENCE, wait_for

LARGE = 2**25  # bytes of an answer: far more than the kernel holds for a connection
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
        await send({"type": "http.response.body", "body": b"x" * LARGE})


@pytest.fixture
def server() -> Iterator[Server]:
    config = uvicorn.Config(answer, http=Protocol, ws="none", lifespan="off", log_level="error")
    made = Server(config, read_settings(workers=1, drain=0))
    listening = socket.create_server(("127.0.0.1", 0))
    made.address = listening.getsockname()  # type: ignore[attr-defined]
    running = threading.Thread(target=lambda: asyncio.run(made.serve([listening])))
    running.start()
    wait_for(lambda: made.started, PATIENCE)
    yield made
    made.should_exit = True
    running.join()


def ask(server: Server) -> socket.socket:
    """Send a request, and read nothing of its answer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(server.address)  # type: ignore[attr-defined]
    connection.sendall(REQUEST)
    return connection


def read(connection: socket.socket) -> int:
    """Read an answer until it is whole or cut off; returns how many bytes came."""
    connection.settimeout(PATIENCE)
    received = 0
    with connection, suppress(ConnectionResetError):
        while received < LARGE and (part := connection.recv(2**20)):
            received += len(part)
    return received


def held(server: Server) -> list[int]:
    """Return what each connection holds of its answer, the latest first."""
    connections = sorted(server._connections(), key=Protocol.waiting_since, reverse=True)
    return [connection.unread() for connection in connections]


def test_answers_that_nobody_reads_hold_no_more_than_they_may_and_the_longest_unread_goes(server: Server) -> None:
    server.most_unread = 3 * LARGE
    clients = []
    for count in range(1, 4):
        clients.append(ask(server))
        wait_for(lambda expected=count: len([size for size in held(server) if size]) == expected, PATIENCE)
        wait_for(lambda: all(one.waiting_since() < float("inf") for one in server._connections()), PATIENCE)
    longest = min(server._connections(), key=Protocol.waiting_since)
    clients.append(ask(server))
    wait_for(lambda: longest not in server._connections(), PATIENCE)
    assert sum(held(server)) <= server.most_unread
    first, *others = [read(client) for client in clients]
    assert first < LARGE
    assert [one >= LARGE for one in others] == [True] * 3
