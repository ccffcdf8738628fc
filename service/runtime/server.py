"""The HTTP server of one worker: uvicorn's, which drains before it stops and closes connections that stall.

uvicorn itself waits for ever for the rest of a request, and for a client to read its response: a few thousand such
connections would use up the open files and the memory of a server.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
from types import FrameType

import uvicorn

from service import memory
from service.errors import ServiceError
from service.runtime.port import drop_new_connections
from service.runtime.protocol import Protocol
from service.settings import Settings

logger = logging.getLogger("bentoml.nelumbo.server")

LAST_REQUESTS = 2.0  # seconds for clients that are connected to send their first request after the server stops
UNREAD = 8  # part of the memory that answers may take which their clients do not read
TICKS = 10  # of uvicorn's main loop, per second


class Server(uvicorn.Server):
    """A uvicorn server that serves on for ``drain`` seconds after SIGTERM, and closes stalled connections.

    Its supervisor sets ``port_closes`` where all workers stop; the port of a worker that stops alone stays open.
    It shares two things with its app through the lifespan state of ASGI: ``draining``, an event that is set once the
    worker is to stop, and ``renderer``, which the app puts there.
    """

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings
        self.most_unread = memory.available() // UNREAD // settings.workers  # bytes
        self._stop_at = 0.0  # by time.monotonic(); 0: not told to stop
        self._interrupted = False
        self.draining = threading.Event()
        self.port_closes = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then accept connections."""
        self.lifespan.state["draining"] = self.draining
        await super().startup(sockets)
        gc.enable()  # Worker.target has disabled it for the imports

    def is_ready(self) -> bool:
        """Return whether this worker accepts connections and its models are loaded."""
        return self.started and bool(self.lifespan.state["renderer"].served)

    def reload(self) -> None:
        """Load the models again, on a thread; a worker that has not started yet is going to load them anyway."""
        if self.started:
            threading.Thread(target=self._reload, name="reload", daemon=True).start()

    def _reload(self) -> None:
        try:
            library = self.lifespan.state["renderer"].reload()
            logger.info("Serving %s", ", ".join(model.ref for model in library))
        except ServiceError as error:
            logger.error("Not reloaded: %s", error)
        except Exception:
            if not self.draining.is_set():  # the renderer was closed while it read the models
                logger.exception("Not reloaded")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: at once on SIGINT, after ``drain`` seconds on SIGTERM; before the start is over, end this process."""
        if not self.started:  # uvicorn would first wait for the models, and no connection is ours yet
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
        self.draining.set()
        if sig == signal.SIGINT:
            self._interrupted = self.should_exit = True
        elif not self._stop_at:  # systemd signals every process, and so does our supervisor
            self._stop_at = time.monotonic() + self._settings.drain

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; close stalled connections once a second."""
        if counter % TICKS == 0:
            self.close_stalled_connections(asyncio.get_running_loop().time())
        if self._stop_at and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def close_stalled_connections(self, now: float) -> None:
        """Close the connections that have waited too long for their client, or hold too much that it does not read."""
        for connection in self._connections():
            connection.close_if_stalled(now, self._settings.client_timeout)
        self._close_unread()

    def _close_unread(self) -> None:
        """Close those that have waited longest, until the answers that nobody reads take no more than they may.

        Of 64 enlarged images, an answer of 12 MiB takes half a second to draw, and would be held for half a minute.
        """
        held = sum(connection.unread() for connection in self._connections())
        for connection in sorted(self._connections(), key=Protocol.waiting_since):
            if held <= self.most_unread:
                return
            held -= connection.unread()
            if connection.unread():
                connection.cut_off()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the connections that the kernel holds, answer their first requests, and stop."""
        if self.port_closes.is_set():
            for listening in sockets or []:
                drop_new_connections(listening)
        await asyncio.sleep(2 / TICKS)  # a loop that is late sees its timers before its connections: two turns
        if not self._interrupted:
            await self._wait_for_first_requests()
        await super().shutdown(sockets)

    def _connections(self) -> list[Protocol]:
        return [connection for connection in self.server_state.connections if isinstance(connection, Protocol)]

    async def _wait_for_first_requests(self) -> None:
        """Wait until every connection has sent a request, for ``LAST_REQUESTS`` at most."""
        end = time.monotonic() + LAST_REQUESTS
        while time.monotonic() < end and any(connection.is_new() for connection in self._connections()):
            await asyncio.sleep(1 / TICKS)
