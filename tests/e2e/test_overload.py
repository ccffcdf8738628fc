"""Ten times a server's capacity: accepted requests are answered in time, all others are refused immediately."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from load_tests.sizes import measure
from tests.e2e.server import Server, serving

pytestmark = pytest.mark.slow

QUEUE, WORKERS, CORES = 16, 2, 2
TIMES = 10  # the capacity
SECONDS = 6.0
BODY = b'{"seed":1}'
DRAW = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
DRAW += b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
PROBE = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass
class Answer:
    status: int
    head: bytes
    seconds: float


@pytest.fixture
def server(slow_models: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "log", models=slow_models, workers=WORKERS, queue=QUEUE, max_images=QUEUE) as running:
        yield running


async def ask(server: Server, request: bytes = DRAW) -> Answer:
    """Send one request on a connection of its own, and read all of the answer."""
    started = time.monotonic()
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    while await reader.read(2**20):
        pass
    writer.close()
    return Answer(int(head.split()[1]), head.lower(), time.monotonic() - started)


async def capacity(server: Server, seconds: float) -> float:
    """Return how many requests a second four clients get answered who ask again and again."""

    async def client() -> int:
        end, answered = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            answered += (await ask(server)).status == 200
        return answered

    return sum(await asyncio.gather(*(client() for _ in range(4)))) / seconds


async def at(rate: float, server: Server, request: bytes, seconds: float) -> list[Answer]:
    """Ask so many times a second, whatever becomes of it."""
    started, tasks = time.monotonic(), []
    for i in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + i / rate - time.monotonic()))
        tasks.append(asyncio.create_task(ask(server, request)))
    return await asyncio.gather(*tasks)


async def overload(server: Server, rate: float) -> tuple[list[Answer], list[Answer]]:
    """Return the answers to who draws, and to who looks whether the server is ready."""
    drawing, probing = at(rate, server, DRAW, SECONDS), at(4, server, PROBE, SECONDS)
    drawn, probed = await asyncio.gather(drawing, probing)
    return drawn, probed


def test_ten_times_the_capacity_is_refused_at_once_and_what_gets_in_is_answered_in_time(server: Server) -> None:
    able = max(asyncio.run(capacity(server, 1)) for _ in range(3))  # in one of which the machine may have stood still
    asyncio.run(overload(server, TIMES * able))  # after it, the server has the memory that it needs
    before = measure(server)
    answers, probes = asyncio.run(overload(server, TIMES * able))
    accepted = sorted(answer.seconds for answer in answers if answer.status == 200)
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.status for answer in refused} == {503}
    assert all(b"\r\nretry-after: " in answer.head for answer in refused)
    assert len(accepted) > able * SECONDS / 4  # it goes on drawing
    # Who gets in last waits for all that wait in both workers, and for what is being drawn; drawn slower than before,
    # since refusing and reading the answers take time of the same cores.
    bound = 4 * WORKERS * (QUEUE + CORES) / able + 1
    assert accepted[int(0.99 * len(accepted))] < bound
    assert {answer.status for answer in probes} == {200}  # an orchestrator leaves it alone
    after = measure(server)
    assert after.rss < before.rss * 1.2 + 32
    assert after.threads <= before.threads + 2 * WORKERS  # two threads of a worker start when they are first needed
    assert after.files <= before.files + 4
