"""The faults that chaos injects: each is a function with a line in ``FAULTS``, and lasts until it returns."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.serving import process
from load_tests.clients import Failure
from tests import hostile
from tests.e2e.server import ADMIN, Server

BURST, SLOW = 200, 100  # connections
HOG = "while True: pass"
BALLOON = "import time; held = bytearray(b'x') * 2**29; time.sleep(60)"  # 512 MiB, every page written to
SLOW_MODEL = "slow"  # within all bounds but that of time
LOADING = 120  # seconds
LONG = 64  # pictures in a request of a flood
BODY = b'{"n":%d}' % LONG
HEAD = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


class Chaos:
    """The server under test, the random generator, and what was observed: killed workers, answers to floods."""

    def __init__(self, server: Server, seed: int, models: Path, *, reloads_at_hup: bool = True) -> None:
        self.server = server
        self.reloads_at_hup = reloads_at_hup  # BentoML's supervisor restarts its workers at SIGHUP
        self.models = models  # the folder of the server's models, to which hostile ones are added
        self.chance = random.Random(seed)
        self.kills: list[float] = []  # by time.monotonic()
        self.flooded: Counter[str] = Counter()  # status lines, "" for none
        self.lost: list[Failure] = []  # what floods got no answer to
        self.hostile = [*hostile.MODELS, SLOW_MODEL]  # models that have not been dropped yet
        self.chance.shuffle(self.hostile)
        self.dropped: list[str] = []

    def worker(self) -> int:
        """Return the id of a worker; 0 where there is none just now."""
        return self.chance.choice(sorted(int(found.name) for found in process.workers(self.server)) or [0])


def kill(chaos: Chaos) -> None:
    """Kill a worker with SIGKILL, as the kernel's OOM killer does."""
    if worker := chaos.worker():
        chaos.kills.append(time.monotonic())
        _signal(worker, signal.SIGKILL)


def stop(chaos: Chaos) -> None:
    """Stop a worker with SIGSTOP for some seconds, as on a machine that swaps or is migrated."""
    if worker := chaos.worker():
        _signal(worker, signal.SIGSTOP)
        time.sleep(chaos.chance.uniform(0.5, 4))
        _signal(worker, signal.SIGCONT)


def flood(chaos: Chaos) -> None:
    """Request thousands of images at once: what exceeds the queue is refused."""
    began = time.monotonic()
    with _connections(chaos.server, BURST) as connections:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        for connection in connections:
            status = _status(connection)
            chaos.flooded[status] += 1
            if not status:
                chaos.lost.append(Failure("no answer to a flood", began, time.monotonic()))


def dawdle(chaos: Chaos) -> None:
    """Send half of many requests, and hold the connections."""
    with _connections(chaos.server, SLOW) as connections:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(HEAD)
        time.sleep(chaos.chance.uniform(2, 6))


def leave(chaos: Chaos) -> None:
    """Request images, and disconnect."""
    with _connections(chaos.server, SLOW) as connections:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)


def starve(chaos: Chaos) -> None:
    """Use up the cores and half a gigabyte of memory beside the server."""
    codes = [*[HOG] * 2 * len(os.sched_getaffinity(0)), BALLOON]
    hogs = [subprocess.Popen([sys.executable, "-c", code]) for code in codes]
    time.sleep(chaos.chance.uniform(2, 6))
    for hog in hogs:
        hog.kill()
        hog.wait()


def reload(chaos: Chaos) -> None:
    """Have all workers read the models again: by a signal, or by asking them, of whom any one may answer."""
    if chaos.reloads_at_hup:
        chaos.server.process.send_signal(signal.SIGHUP)
        return
    for _ in range(2 * len(process.workers(chaos.server))):
        with contextlib.suppress(httpx.TransportError):  # another fault was first
            httpx.post(f"{chaos.server.url}/admin/reload", headers=ADMIN, timeout=LOADING)


def poison(chaos: Chaos) -> None:
    """Add a hostile model to the models' folder, and reload all workers."""
    if chaos.hostile:
        name = chaos.hostile.pop()
        hostile.write(chaos.models, name, hostile.slow().SerializeToString() if name == SLOW_MODEL else None)
        chaos.dropped.append(name)
        reload(chaos)


FAULTS: tuple[Callable[[Chaos], None], ...] = (kill, stop, flood, dawdle, leave, starve, reload)


@contextmanager
def _connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Connect so many times, as far as the server lets in."""
    host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                opened.append(stack.enter_context(socket.create_connection((host, port), 40)))
        yield opened


def _status(connection: socket.socket) -> str:
    """Return the beginning of an answer, "" where there is none."""
    with contextlib.suppress(OSError):
        return connection.recv(12).decode()
    return ""


def _signal(worker: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # another fault was first
        os.kill(worker, number)
