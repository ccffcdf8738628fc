"""A real Redis, Debian's, without persistence."""

import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from tests.e2e.server import free_port
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


class Relay(socketserver.StreamRequestHandler):
    """Passes on to a Redis what a client sends, ``seconds`` after it came."""

    def handle(self) -> None:
        there = cast("SlowRedis", self.server)
        with socket.create_connection(("127.0.0.1", there.redis)) as connection:
            while sent := self.connection.recv(2**16):
                there.holds.set()
                there.over.wait(there.seconds)
                connection.sendall(sent)
                self.connection.sendall(connection.recv(2**16))


class SlowRedis(socketserver.ThreadingTCPServer):
    """A Redis that takes its time: each answer comes ``seconds`` after the request; ``holds`` is set at a request."""

    daemon_threads = True

    def __init__(self, redis: int) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.redis = redis
        self.seconds = 0.0
        self.holds, self.over = threading.Event(), threading.Event()


@contextmanager
def slow_redis() -> Iterator[SlowRedis]:
    """Run a Redis and what delays its answers until the block ends."""
    with redis(port := free_port()), SlowRedis(port) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield relay
        finally:
            relay.over.set()
            relay.shutdown()


def _is_up(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
