"""A real Redis, Debian's, that keeps nothing."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.server import PATIENCE


@contextmanager
def redis(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Redis on loopback until the block ends; skips the test where there is none."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command += ["--enable-debug-command", "yes"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_until_up(port)
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_until_up(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("Redis is not up")
