"""Many connections at once change how long an answer takes, and nothing else."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import Server, serving

IDLE, BURST = 1000, 256


@contextmanager
def open_files(soft: int) -> Iterator[None]:
    """Let this process, and what it starts, open so many files."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < soft:
        pytest.skip(f"only {hard} files can be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def burst(server: Server) -> list[httpx.Response]:
    """Ask for 256 seeds at once, each on a connection of its own."""

    async def together() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=BURST)
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:
            bodies = ({"seed": seed, "model": "rgb"} for seed in range(BURST))
            return await asyncio.gather(*(client.post("/generate", json=body) for body in bodies))

    return asyncio.run(together())


def test_a_burst_of_256_connections_gets_what_each_gets_alone(server: Server) -> None:
    answers = burst(server)
    assert [answer.headers["x-seed"] for answer in answers] == [str(seed) for seed in range(BURST)]
    with server.client() as client:
        for seed in range(0, BURST, 16):
            assert answers[seed].content == client.post("/generate", json={"seed": seed, "model": "rgb"}).content


def test_requests_are_answered_beside_a_thousand_idle_connections(models: Path, tmp_path: Path) -> None:
    with open_files(1024), serving(tmp_path / "log", models=models) as server, ExitStack() as idle:
        with open_files(4096):  # the clients'; the server was started with a limit as low as many systems'
            host, port = server.url.removeprefix("http://").split(":")
            for _ in range(IDLE):
                idle.enter_context(socket.create_connection((host, int(port))))
            assert {answer.status_code for answer in burst(server)} == {200}
            said = server.said()
        assert "Traceback" not in said
