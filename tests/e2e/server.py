"""A real server process on loopback."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.waiting import PATIENCE, wait_for

ROOT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "service")
BENTOML = (sys.executable, "-m", "bentoml")
WAYS = {"python -m service": SERVE, "bentoml serve": (*BENTOML, "serve")}  # to start the server
ADMIN_TOKEN = "correct-horse-battery"
ADMIN = {"authorization": f"Bearer {ADMIN_TOKEN}"}
# Below those that systems give to whoever asks for any: BentoML does, while it starts, and so may be given the one that
# its server is to have.
PORTS = range(20_000, 32_768)


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE)

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Stop the server, and return its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(PATIENCE)

    def said(self) -> str:
        return self.log.read_text()


def bentoml_home(folder: Path) -> dict[str, str]:
    """Return variables that confine BentoML to ``folder`` and turn its usage tracking off."""
    return {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}


def free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def serving(
    log: Path,
    *,
    models: Path | None = None,
    command: Sequence[str] = SERVE,
    cwd: Path = ROOT,
    until: str = "/readyz",
    **settings: object,
) -> Iterator[Server]:
    """Run a server until the block ends; ``until`` answers 200 when the block begins."""
    port = free_port()
    given = {
        "port": port,
        "workers": 1,
        "drain": 0,
        "admin_token": ADMIN_TOKEN,
        **({"models": models} if models else {}),
        **settings,
    }
    variables = {f"NELUMBO_{name.upper()}": str(value) for name, value in given.items()}
    environment = {**os.environ, **variables, **bentoml_home(log.parent), "PYTHONPATH": ""}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until_up(server, until)
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_until_up(server: Server, path: str) -> None:
    def is_up() -> bool:
        assert server.process.poll() is None, server.said()
        try:
            return httpx.get(f"{server.url}{path}").status_code == 200
        except httpx.TransportError:
            return False

    wait_for(is_up, PATIENCE, server.said)


def wait_until(come: Callable[[], object], server: Server) -> None:
    """Wait for what comes a moment later."""
    wait_for(come, PATIENCE, server.said)


def wait_for_workers(
    server: Server,
    count: int,
    path: str = "/models",
    *,
    status: int = 200,
    known: Iterable[str] = (),
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> set[str]:
    """Wait until so many workers, with those that are ``known``, have answered ``status``; returns who they are.

    Each request uses a new connection, which any worker may accept; the prefix of its request id identifies the worker.
    """
    found = set(known)

    def have_answered() -> bool:
        answer = httpx.request(method, f"{server.url}{path}", headers=headers, timeout=PATIENCE)
        if answer.status_code == status:
            found.add(answer.headers["x-request-id"].partition("-")[0])
        return len(found) >= count

    wait_until(have_answered, server)
    return found


def counted(text: str, metric: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels, from Prometheus's text."""
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(rf"{metric}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{name}="{value}"' in (found[1] or "") for name, value in labels.items()):
            total += float(found[2])
    return total
