"""The process that starts the workers and replaces those that die or hang: uvicorn's, with a log line and a counter.

Nothing listens on a port but the workers, on the one socket that they share. While they import what they need, this
process has the model files checked.
"""

import logging
import os
import signal
import socket
import threading
import time
from multiprocessing.connection import wait
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from service.engine import crashes, default, sources
from service.engine.checker import Checker
from service.errors import ServiceError
from service.runtime.backoff import Backoff
from service.runtime.protocol import Protocol
from service.runtime.worker import INTERVAL, Worker
from service.settings import Settings
from service.telemetry import prometheus_dir
from service.telemetry.logging import LineWriter

logger = logging.getLogger("bentoml.nelumbo.supervisor")

CANNOT_START = {STARTUP_FAILURE, 2}  # exit codes; 2: the worker has said on stderr which setting is wrong
STDOUT = 1
# Seconds that a connection may rest between two requests. Proxies keep theirs for 60 (nginx, load balancers of clouds):
# who closes first loses no request, while the next POST of a proxy may be under way when the server closes.
KEEP_ALIVE = 75
MARGIN = 10.0  # seconds for a worker to stop beyond what its requests may take


class Supervisor(Multiprocess):
    """Starts the workers, replaces those that end or hang, passes signals on, and waits for them at the end.

    Attributes:
        failed: whether a worker cannot start, for a reason that the next one would meet, too.
        refused: why none of the models can be served, if so.
    """

    processes: list[Worker]  # type: ignore[assignment]

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], settings: Settings) -> None:
        super().__init__(config, sockets)
        self._settings = settings
        self._interrupted = False
        self._announced = False
        self._backoffs = [Backoff() for _ in range(self.processes_num)]
        self._due: dict[int, float] = {}  # places without a worker, and when they get one, by time.monotonic()
        self._checker = Checker(settings.max_batch, settings.load_seconds)
        self.failed = False
        self.refused: ServiceError | None = None
        from service.telemetry import metrics  # after its folder was chosen

        self._replaced = metrics.WORKERS_REPLACED

    def init_processes(self) -> None:
        """Start the workers, and the check of the models, for which they wait."""
        threading.Thread(target=self._check_models, name="check", daemon=True).start()
        if self._settings.source and self._settings.source_seconds:
            threading.Thread(target=self._watch, args=(self._settings.source,), name="watch", daemon=True).start()
        self.processes += [self._start() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Look at each worker, and replace those that have ended or hang."""
        for index, worker in enumerate(self.processes):
            worker.look()
            if self.should_exit.is_set():
                return
            if index in self._due:
                self._start_when_due(index)
            elif not worker.process.is_alive():
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
        self._checker.close()
        if not self._interrupted:
            for worker in self.processes:
                if self.refused:  # without a model, none has a request
                    worker.signal(signal.SIGKILL)
                else:
                    worker.drain()

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
        if worker.exitcode in CANNOT_START and not worker.ready:
            logger.error("Worker %d could not start; the server stops", worker.pid)
            self.failed = True
            self.should_exit.set()
            return
        if crashes.charge():
            self.handle_hup()  # the other workers serve a withdrawn model no more
        if delay := self._backoffs[index].delay(worker.served()):
            self._due[index] = time.monotonic() + delay
            logger.error("Worker %d %s; its place is filled again in %g s", worker.pid, reason, delay)
        else:
            self._fill(index)
            logger.warning("Worker %d %s; replaced by %d", worker.pid, reason, self.processes[index].pid)

    def _start_when_due(self, index: int) -> None:
        if time.monotonic() >= self._due[index]:
            del self._due[index]
            self._fill(index)
            logger.warning("Started worker %d", self.processes[index].pid)

    def _fill(self, index: int) -> None:
        self.processes[index] = self._start()
        self._replaced.inc()

    def _watch(self, source: str) -> None:
        """Have the workers load what is new at the source of the models. Runs on a thread."""
        while not self.should_exit.wait(self._settings.source_seconds):
            try:
                if sources.mirror(source):
                    os.kill(os.getpid(), signal.SIGHUP)
            except ServiceError as error:
                logger.warning("%s; what was fetched before is served on", error)

    def _check_models(self) -> None:
        """Check the model files, for all workers; stop if none is sound. Runs on a thread."""
        from service.engine.folders import require_sound  # with NumPy: 0.1 s, in which the workers start

        try:
            settings = self._settings
            require_sound(settings.models, settings.provider, self._checker, settings.default_model)
        except ServiceError as error:
            if not self.should_exit.is_set():
                self.refused = error
                self.should_exit.set()


def run(settings: Settings, sockets: list[socket.socket]) -> int:
    """Serve on these sockets, which listen, until told to stop; returns the exit code.

    Raises:
        ServiceError: none of the models can be served.
    """
    with prometheus_dir.chosen():
        supervisor = Supervisor(_config(settings), sockets, settings)
        supervisor.run()
    if supervisor.refused:
        raise supervisor.refused
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
        access_log=False,  # request_log writes ours
        timeout_worker_healthcheck=settings.worker_timeout,
        timeout_keep_alive=KEEP_ALIVE,
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
    text = f"Serving on {url}\n{_default_line(settings)}Try: curl --json {example} {url}/generate -o 42.png\n"
    LineWriter(STDOUT).write(text.encode())  # a print would wait for who reads the pipe, which logs may have filled


def _default_line(settings: Settings) -> str:
    """Return a line about the default model, or nothing while a slow model that may be it is being checked."""
    if (ref := default.chosen()) is None:
        return ""
    keep = "" if settings.default_model else f", the first by name; NELUMBO_DEFAULT_MODEL={ref} keeps it for good"
    return f"Default model: {ref}{keep}\n"


def _end_of(worker: Worker) -> str:
    code = worker.exitcode or 0
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
