"""A worker process: what its supervisor sees of it, and what runs in it.

The two talk through a pipe. The supervisor asks twice a second whether the worker is ready, and tells it to load the
models again, and that the port is to close.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import threading
import time
from functools import cached_property

import uvicorn
from uvicorn.supervisors.multiprocess import Process

from service.runtime.server import Server
from service.settings import read_settings

PING, RELOAD, PORT_CLOSES = b"ping", b"reload", b"port closes"
INTERVAL = 0.5  # seconds between two looks at the workers, as Multiprocess.run has it


class Worker(Process):
    """A worker process, as its supervisor sees it and as it runs."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.ready = False
        self._ready_at: float | None = None
        self._unanswered = 0  # looks since the ping that it has not answered

    def look(self) -> None:
        """Take the worker's answer, if there is one, and ping it again."""
        with contextlib.suppress(OSError, EOFError):  # it has just died
            while self.parent_conn.poll():
                self.ready, self._unanswered = self.parent_conn.recv(), 0
                if self.ready and self._ready_at is None:
                    self._ready_at = time.monotonic()
            if not self._unanswered:
                self.parent_conn.send(PING)
            self._unanswered += 1

    def served(self) -> float:
        """Return for how many seconds it has been ready; 0 before."""
        return 0.0 if self._ready_at is None else time.monotonic() - self._ready_at

    def is_hung(self, timeout: float) -> bool:
        """Return whether it has been ready and then not answered for ``timeout`` seconds.

        Looks are counted, not seconds: a machine that was suspended must not find its workers hung. A worker that
        starts is left alone, as a library that takes long to load may keep it from answering.
        """
        return self.ready and self._unanswered * INTERVAL > timeout

    def reload(self) -> None:
        """Let the worker load the models again."""
        with contextlib.suppress(OSError):
            self.parent_conn.send(RELOAD)

    def drain(self) -> None:
        """Let the worker serve on for a while and stop, as all workers do."""
        with contextlib.suppress(OSError):
            self.parent_conn.send(PORT_CLOSES)
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Send a signal to the worker, if it is still there."""
        if self.process.is_alive() and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @cached_property
    def server(self) -> Server:
        """The server that runs in the worker process."""
        return Server(self.config, read_settings())

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run in the worker process."""
        # Until its server stops this process in order, Ctrl-C ends it without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a terminal that closes; the supervisor reloads
        gc.disable()  # walking what imports make takes 0.2 s of their 1.3 (docs/start.md); the server enables it
        threading.Thread(target=_stop_with_parent, name="parent", daemon=True).start()
        server = self.server  # made before the thread that answers pings wants it
        threading.Thread(target=self.always_pong, name="pong", daemon=True).start()
        server.run(sockets)

    def pong(self) -> None:
        """Take one message of the supervisor; runs on a thread of the worker process."""
        message = self.child_conn.recv()
        if message == RELOAD:
            self.server.reload()
        elif message == PORT_CLOSES:
            self.server.port_closes.set()
        else:
            self.child_conn.send(self.server.is_ready())


def _stop_with_parent() -> None:
    """Stop this worker when its supervisor is gone: nobody would replace it, and it would hold the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
