"""A real server process on loopback."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "service")
BENTOML = (sys.executable, "-m", "bentoml")
PATIENCE = 60  # seconds until a server that does not get ready fails its test


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE)

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(PATIENCE)

    def said(self) -> str:
        return self.log.read_text()


def bentoml_home(folder: Path) -> dict[str, str]:
    """Return the variables that keep BentoML in ``folder`` and from telling its makers."""
    return {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    given = {"port": port, "workers": 1, "drain": 0, **({"models": models} if models else {}), **settings}
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
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.process.poll() is None, server.said()
        try:
            if httpx.get(f"{server.url}{path}").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not up in {PATIENCE} s:\n{server.said()}")


def counted(text: str, metric: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels, from Prometheus's text."""
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(rf"{metric}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{name}="{value}"' in (found[1] or "") for name, value in labels.items()):
            total += float(found[2])
    return total
