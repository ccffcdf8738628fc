"""The process that starts the workers and replaces those that die or hang: uvicorn's, with a log line and a counter.

A worker and its supervisor talk through a pipe. The supervisor asks twice a second whether the worker is ready, and
tells it to load the models again; nothing listens on a port but the workers, on the one socket that they share.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from functools import cached_property
from multiprocessing.connection import wait
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from service.engine import suspects
from service.runtime.protocol import Protocol
from service.runtime.server import Server
from service.settings import Settings, read_settings
from service.telemetry import prometheus_dir

logger = logging.getLogger("bentoml.nelumbo.supervisor")

PING, RELOAD = b"ping", b"reload"
INTERVAL = 0.5  # seconds between two looks at the workers, as Multiprocess.run has it
MARGIN = 10.0  # seconds for a worker to stop beyond what its requests may take


class Worker(Process):
    """A worker process, as its supervisor sees it and as it runs."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.ready = False
        self._unanswered = 0  # looks since the ping that it has not answered

    def look(self) -> None:
        """Take the worker's answer, if there is one, and ping it again."""
        with contextlib.suppress(OSError, EOFError):  # it has just died
            while self.parent_conn.poll():
                self.ready, self._unanswered = self.parent_conn.recv(), 0
            if not self._unanswered:
                self.parent_conn.send(PING)
            self._unanswered += 1

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
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a terminal that closes; the supervisor reloads
        threading.Thread(target=_stop_with_parent, name="parent", daemon=True).start()
        server = self.server  # made before the thread that answers pings wants it
        threading.Thread(target=self.always_pong, name="pong", daemon=True).start()
        server.run(sockets)

    def pong(self) -> None:
        """Take one message of the supervisor; runs on a thread of the worker process."""
        if self.child_conn.recv() == RELOAD:
            self.server.reload()
        else:
            self.child_conn.send(self.server.is_ready())


class Supervisor(Multiprocess):
    """Starts the workers, replaces those that end or hang, passes signals on, and waits for them at the end."""

    processes: list[Worker]  # type: ignore[assignment]

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], settings: Settings) -> None:
        super().__init__(config, sockets)
        self._settings = settings
        self._interrupted = False
        self._announced = False
        self.failed = False
        from service.telemetry import metrics  # after its folder was chosen

        self._replaced = metrics.WORKERS_REPLACED

    def init_processes(self) -> None:
        """Start the workers."""
        self.processes += [self._start() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Look at each worker, and replace those that have ended or hang."""
        for index, worker in enumerate(self.processes):
            worker.look()
            if self.should_exit.is_set():
                return
            if not worker.process.is_alive():
                self._replace(index, _end_of(worker))
            elif worker.is_hung(self.config.timeout_worker_healthcheck):
                self._replace(index, f"did not answer for {self.config.timeout_worker_healthcheck} s")
        if not self._announced and any(worker.ready for worker in self.processes):
            self._announced = True
            _announce(self._settings)

    def handle_int(self) -> None:
        """Stop at once: let the workers end the requests that they have; a second time, kill them."""
        for worker in self.processes:
            worker.signal(signal.SIGKILL if self._interrupted else signal.SIGINT)
        self._interrupted = True
        self.should_exit.set()

    def handle_term(self) -> None:
        """Stop when the workers have drained."""
        self.should_exit.set()

    handle_quit = handle_term

    def handle_hup(self) -> None:
        """Let all workers load the models again."""
        for worker in self.processes:
            worker.reload()

    def handle_ttin(self) -> None:
        """Say that the number of workers is a setting: their threads and memory are planned by it."""
        logger.warning("The number of workers is NELUMBO_WORKERS; SIGTTIN and SIGTTOU do not change it")

    handle_ttou = handle_ttin

    def terminate_all(self) -> None:
        """Close the listening socket here, so that it is gone when the workers have closed it, and let them drain."""
        for listening in self.sockets:
            listening.close()
        if not self._interrupted:
            for worker in self.processes:
                worker.signal(signal.SIGTERM)

    def join_all(self) -> None:
        """Wait for the workers, heed signals meanwhile, and kill what has not ended in time."""
        settings = self._settings
        end = time.monotonic() + settings.drain + settings.deadline + settings.client_timeout + MARGIN
        while running := [worker for worker in self.processes if worker.process.is_alive()]:
            wait([worker.process.sentinel for worker in running], INTERVAL)
            self.handle_signals()
            if time.monotonic() > end:
                logger.error("Killed %d workers that did not end", len(running))
                for worker in running:
                    worker.signal(signal.SIGKILL)

    def _start(self) -> Worker:
        worker = Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _replace(self, index: int, reason: str) -> None:
        worker = self.processes[index]
        worker.kill()
        worker.process.join()
        prometheus_dir.release(worker.pid or 0)
        if worker.exitcode == STARTUP_FAILURE:
            logger.error("Worker %d could not start; the server stops", worker.pid)
            self.failed = True
            self.should_exit.set()
            return
        self._replaced.inc()
        withdrawn = suspects.sweep()
        self.processes[index] = self._start()
        logger.warning("Worker %d %s; replaced by %d", worker.pid, reason, self.processes[index].pid)
        if withdrawn:
            self.handle_hup()  # the other workers serve that model no more


def run(settings: Settings, sockets: list[socket.socket]) -> int:
    """Serve on these sockets, which listen, until told to stop; returns the exit code."""
    with prometheus_dir.chosen():
        supervisor = Supervisor(_config(settings), sockets, settings)
        supervisor.run()
    return 1 if supervisor.failed else 0


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "service.runtime.factory:create",
        factory=True,
        interface="asgi3",
        http=Protocol,
        ws="none",
        lifespan="on",
        workers=settings.workers,
        log_config=LOGGING,
        proxy_headers=False,  # nothing here depends on a client's address but /admin, which trusts no proxy
        server_header=False,
        timeout_worker_healthcheck=settings.worker_timeout,
    )


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s"}},
    "handlers": {"stderr": {"()": "service.telemetry.logging.NonBlockingHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"bentoml.nelumbo": {"level": "INFO"}, "uvicorn": {"level": "WARNING"}},
}


def _announce(settings: Settings) -> None:
    host = f"[{settings.host}]" if settings.host.version == 6 else settings.host
    url = f"http://{host}:{settings.port}"
    example = """'{"seed":42,"format":"png"}'"""
    print(f"Serving on {url}\nTry: curl --json {example} {url}/generate -o 42.png", flush=True)


def _end_of(worker: Worker) -> str:
    code = worker.exitcode or 0
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _stop_with_parent() -> None:
    """Stop this worker when its supervisor is gone: nobody would replace it, and it would hold the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
