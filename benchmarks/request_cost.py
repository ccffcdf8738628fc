"""``python -m benchmarks.request_cost``: what the costliest requests cost the server's event loop.

While one request is on the event loop, all others wait. So each route gets requests that were made to be costly
(:mod:`benchmarks.costly_requests`), each on a connection of its own to a real server with one worker, and the system
says what processor time the loop's thread took: in the kernel, in uvicorn, in the app and in BentoML's routes, but not
in the threads that draw. What the loop does without any request is taken off. Other programs on the machine only add
to that time, through the caches that they share with it, so that the least of several measurements counts.

A request costs something however small it is. So the cost per kilobyte is that above the fixed cost, which is that of
the smallest request, ``GET /livez``, and what is shorter than a kilobyte counts as one.
"""

import itertools
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import psutil
import typer

from benchmarks.costly_requests import CLASSES, DEFAULT_SIZE, WIDE_SIZE, Request, requests
from service import keys
from tests import tiny
from tests.e2e.server import Server, serving
from tests.service.web.test_invert import write_encoder

TARGET_REQUEST = 20.0  # ms
TARGET_KILOBYTE = 2.0  # ms
KILOBYTE = 1000  # bytes
QUIET = 0.002  # seconds without work after which a request is done with
IDLE = 1.0  # seconds for which the server is watched without requests
PATIENCE = 60  # seconds for an answer


@dataclass(frozen=True)
class Cost:
    """What one request cost."""

    request: Request
    status: int  # of the answer; 0: none
    milliseconds: float
    fixed: float  # milliseconds, of any request

    @property
    def per_kilobyte(self) -> float:
        """Return the milliseconds above the fixed cost, per kilobyte received."""
        return max(0.0, self.milliseconds - self.fixed) / max(1.0, len(self.request.data) / KILOBYTE)


class Loop:
    """The thread of a server's event loop: the main thread of its one worker."""

    def __init__(self, server: Server) -> None:
        url = urlsplit(server.url)
        self._address = (url.hostname, url.port)
        children = psutil.Process(server.process.pid).children(recursive=True)
        (worker,) = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        self._task = Path(f"/proc/{worker.pid}/task/{worker.pid}")
        started, before = time.monotonic(), self._spent()
        time.sleep(IDLE)
        self._idle = (self._spent() - before) / (time.monotonic() - started)  # nanoseconds a second

    def measure(self, data: bytes, times: int) -> tuple[int, float]:
        """Send a request some times; returns the answer's status and the least cost in milliseconds."""
        costs, status = [], 0
        for _ in range(times):
            started, before = time.monotonic(), self._spent()
            status = self._send(data)
            costs.append((self._spent() - before - self._idle * (time.monotonic() - started)) / 1e6)
        return status, min(costs)

    def _send(self, data: bytes) -> int:
        received = b""
        with socket.create_connection(self._address, timeout=PATIENCE) as connection:
            with suppress(ConnectionError):  # it is refused before it is read
                connection.sendall(data)
            with suppress(ConnectionError):
                while part := connection.recv(2**20):
                    received = received or part
        return int(received.split(maxsplit=2)[1]) if received.startswith(b"HTTP/") else 0

    def _spent(self) -> int:
        """Return the thread's processor time in nanoseconds, once it waits for the next request."""
        end, last = time.monotonic() + PATIENCE, -1
        while time.monotonic() < end:
            state = (self._task / "stat").read_text().rpartition(")")[2].split()[0]
            spent = int((self._task / "schedstat").read_text().split()[0])
            if state == "S" and spent == last:
                return spent
            last = spent
            time.sleep(QUIET)
        raise TimeoutError("the event loop does not come to rest")


@contextmanager
def serve(folder: Path) -> Iterator[tuple[Loop, str]]:
    """Run a server with four models and an API key; yields its loop and the key."""
    key = keys.new()
    (folder / "keys").write_text(keys.line("benchmark", key))
    tiny.write(folder / "models", tiny.card("a-picture", latent_dim=DEFAULT_SIZE, height=64, width=64, channels=3))
    wide = tiny.write(folder / "models", tiny.card("wide", latent_dim=WIDE_SIZE, height=8, width=8))
    tiny.write(folder / "models", tiny.card("named", classes=CLASSES))
    write_encoder(tiny.write(folder / "models", tiny.card("seen")))
    (wide / "README.md").write_text("# Wide\n" * 9000)
    given = {"api_keys": folder / "keys", "rate": "1000000/second", "quota": "1000000000/day"}
    with serving(folder / "log", models=folder / "models", **given) as server:
        yield Loop(server), key


def measure(times: int) -> list[Cost]:
    """Measure every request, each some times, when all have been sent once."""
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as (loop, key):
        made = list(requests(key))
        smallest = next(one for one in made if one.route == "/livez")
        for one in made:
            loop.measure(one.data, 1)
        _, fixed = loop.measure(smallest.data, 4 * times)
        return [Cost(one, *loop.measure(one.data, times), fixed) for one in made]


def table(costs: Sequence[Cost]) -> str:
    """Return, in Markdown, the costliest request of each route, by itself and by the kilobyte."""
    lines = ["| route | a request, ms | which | a kB, ms | which |", "| --- | --- | --- | --- | --- |"]
    for route, group in itertools.groupby(sorted(costs, key=_route), _route):
        of_route = list(group)
        most = max(of_route, key=lambda cost: cost.milliseconds)
        dearest = max(of_route, key=lambda cost: cost.per_kilobyte)
        lines.append(
            f"| `{route}` | {most.milliseconds:.2f} | {_name(most)} | {dearest.per_kilobyte:.2f} | {_name(dearest)} |"
        )
    return "\n".join(lines)


def too_costly(costs: Iterable[Cost]) -> list[Cost]:
    """Return those over a target."""
    return [one for one in costs if one.milliseconds > TARGET_REQUEST or one.per_kilobyte > TARGET_KILOBYTE]


def _route(cost: Cost) -> str:
    return cost.request.route


def _name(cost: Cost) -> str:
    return f"{cost.request.what} ({len(cost.request.data) / KILOBYTE:.1f} kB, {cost.status})"


def main(
    times: Annotated[int, typer.Option(min=1, help="Measurements of each request; the least counts.")] = 5,
    every: Annotated[bool, typer.Option(help="Also print every request.")] = False,
) -> None:
    """Print the costliest requests of each route; exit code 1 if one is over its target."""
    costs = measure(times)
    if every:
        for one in sorted(costs, key=lambda cost: cost.milliseconds):
            print(f"{one.milliseconds:8.2f} ms {one.per_kilobyte:6.2f} ms/kB {one.request.route} {_name(one)}")
    print(f"\n{len(costs)} requests; the fixed cost of any is {costs[0].fixed:.2f} ms\n\n{table(costs)}")
    raise typer.Exit(bool(too_costly(costs)))


if __name__ == "__main__":
    typer.run(main)
