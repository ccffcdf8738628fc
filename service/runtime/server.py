"""A worker's HTTP server: uvicorn, with limits for clients that are slow, and a polite way to leave.

uvicorn waits for ever for the rest of a request, and for a client to take its answer: a few thousand such connections
hold all of a server's files and memory. At SIGTERM it hangs up on whoever has connected and not yet asked.
"""

import asyncio
import contextlib
import ctypes
import signal
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import uvicorn

from service.runtime.protocol import Protocol
from service.settings import Settings

LEAVING = threading.Event()  # set: this worker serves on, but is not ready any more, and ends its connections
LAST_CALL = 2.0  # seconds for clients that have connected to send their request, when no others are let in
SO_ATTACH_FILTER = 26  # Linux's: asm-generic/socket.h
# Classic BPF, linux/filter.h: keep each packet that has ACK (0x10) among the TCP flags (byte 13), and drop the others,
# which ask to connect. Who is half-way in has been told that they are in.
NO_ARRIVALS = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x10), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0))
TICKS = 10  # of uvicorn's main loop a second


class Server(uvicorn.Server):
    """A server that serves on for ``drain`` seconds after SIGTERM, and holds clients to their time."""

    settings: Settings

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        config.http = Protocol

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note that the server is to end: at once at SIGINT, after ``drain`` seconds at SIGTERM."""
        if sig == signal.SIGINT:  # uvicorn would raise it again at the end, and BentoML's worker say "Aborted!"
            self.should_exit, self.force_exit = True, self.should_exit
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
        for connection in self._connections():
            connection.hang_up_if_slow(now, self.settings.client_timeout)

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Let nobody in any more, answer who had connected, and end."""
        LEAVING.set()
        for listening in sockets or []:
            _drop_arrivals(listening)
        await self._last_call()
        await super().shutdown([*(sockets or [])])

    def _connections(self) -> list[Protocol]:
        return [connection for connection in self.server_state.connections if isinstance(connection, Protocol)]

    async def _last_call(self) -> None:
        """Wait until everybody who got in has asked, or ``LAST_CALL`` is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LAST_CALL
        for _ in range(2):  # until all who have connected are let in; a loop that is late sees its timers before them
            await asyncio.sleep(1 / TICKS)
        while loop.time() < end and any(connection.is_new() for connection in self._connections()):
            await asyncio.sleep(1 / TICKS)


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
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in NO_ARRIVALS))
    program = struct.pack("HP", len(NO_ARRIVALS), ctypes.addressof(steps))
    with contextlib.suppress(OSError):  # in a sandbox that has no filters
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
