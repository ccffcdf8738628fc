"""A worker's HTTP server: uvicorn, with limits for clients that are slow, and a polite way to leave.

uvicorn waits for ever for the rest of a request, and for a client to take its answer: a few thousand such connections
hold all of a server's files and memory. At SIGTERM it hangs up on whoever has connected and not yet asked.
"""

import asyncio
import contextlib
import ctypes
import logging
import signal
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.errors import MEDIA_TYPE, Problem
from service.settings import Settings

logger = logging.getLogger("bentoml.nelumbo.server")

LEAVING = threading.Event()  # set: this worker serves on, but is not ready any more, and ends its connections
LAST_CALL = 0.5  # seconds for clients that have connected to send their request, when no others are let in
MAX_HEADERS = 2**16  # bytes of a request before its body
SO_ATTACH_FILTER, BPF_RETURN = 26, 6  # Linux's: asm-generic/socket.h, linux/bpf_common.h
TICKS = 10  # of uvicorn's main loop a second
SLOW = Problem(HTTPStatus.REQUEST_TIMEOUT, "Send the whole request faster.")
LONG = Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"Send at most {MAX_HEADERS} bytes of headers.")


class Connection(HttpToolsProtocol):
    """A client's connection; ``waits`` tells whether it is the client's turn to do something."""

    unread = 0  # bytes of headers that have not come to their end
    slow: tuple[object, float] | None = None  # the request at which the client was found slow, and when

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers have become too long."""
        super().data_received(data)
        self.unread = self.unread + len(data) if self._in_headers() else 0
        if self.unread > MAX_HEADERS:
            self.refuse(LONG)

    def waits(self) -> bool:
        """Tell whether the rest of a request, or the taking of an answer, is what this connection waits for."""
        return self._in_headers() or self.cycle.more_body or self.transport.get_write_buffer_size() > 0

    def _in_headers(self) -> bool:
        return self.cycle is None or self.cycle.scope is not self.scope

    def is_stuck(self, now: float, patience: float) -> bool:
        """Tell whether the client has let one request or answer wait for over ``patience`` seconds."""
        if not self.waits():
            self.slow = None
        elif self.slow is None or self.slow[0] is not self.scope:
            self.slow = (self.scope, now)
        return self.slow is not None and now - self.slow[1] > patience

    def refuse(self, problem: Problem) -> None:
        """Hang up; where a request has begun and its answer has not, say why."""
        if self.scope is None or self.transport.is_closing() or not self._may_answer():
            self.transport.abort()
        else:
            self.transport.write(_raw(problem))
            self.transport.close()

    def _may_answer(self) -> bool:
        if self._in_headers():
            return self.cycle is None or self.cycle.response_complete
        return not self.cycle.response_started


class Server(uvicorn.Server):
    """A server that serves on for ``drain`` seconds after SIGTERM, and holds clients to their time."""

    settings: Settings

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        config.http = Connection

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note that the server is to end: at once at SIGINT, after ``drain`` seconds at SIGTERM."""
        if sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
        elif not LEAVING.is_set():  # systemd tells every process, and so does our supervisor
            LEAVING.set()
            timer = threading.Timer(self.settings.drain, super().handle_exit, (sig, frame))
            timer.daemon = True
            timer.start()

    async def on_tick(self, counter: int) -> bool:
        """Look once a second for clients that keep the server waiting."""
        if counter % TICKS == 0:
            self.hang_up_on_the_slow(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def hang_up_on_the_slow(self, now: float) -> None:
        """End the connections that have waited too long for their client."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection) and connection.is_stuck(now, self.settings.client_timeout):
                connection.refuse(SLOW)

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Let nobody in any more, answer who had connected, and end."""
        LEAVING.set()
        for listening in sockets or []:
            _drop_arrivals(listening)
        await asyncio.sleep(LAST_CALL)
        await super().shutdown([*(sockets or [])])


def install(settings: Settings) -> None:
    """Let BentoML's worker, which takes ``uvicorn.Server`` when it starts, take this one."""
    Server.settings = settings
    uvicorn.Server = Server  # type: ignore[misc]


def _drop_arrivals(listening: socket.socket) -> None:
    """Let the system ignore who knocks from now on: they try again in a second, and are refused.

    Who has connected and is not yet accepted when a listening socket is closed gets a reset instead of an answer.
    """
    if sys.platform != "linux":
        return
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0))  # "keep 0 bytes of each packet"
    program = struct.pack("HP", 1, ctypes.addressof(nothing))
    with contextlib.suppress(OSError):  # in a sandbox that has no filters
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _raw(problem: Problem) -> bytes:
    body = problem.document()
    lines = (
        f"HTTP/1.1 {problem.status.value} {problem.status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return "\r\n".join((*lines, "", body)).encode()
