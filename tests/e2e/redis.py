"""A real Redis, Debian's, without persistence."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.waiting import wait_for


@contextmanager
def redis(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Redis on loopback until the block ends; skips the test if none is installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command += ["--enable-debug-command", "yes"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _is_up(port), said=lambda: "Redis is not up")
        yield process
    finally:
        process.kill()
        process.wait()


def _is_up(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
