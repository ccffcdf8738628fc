"""The clients: wrk keeps so many connections busy, and counts (https://github.com/wg/wrk, in Debian's packages)."""

import json
import secrets
import subprocess
from pathlib import Path

from benchmarks.serving.speed import Speed
from service import cpus

SCRIPT = Path(__file__).with_name("ask.lua")
PATIENT = ("--timeout", "10s")  # BentoML's own route takes over wrk's 2 s now and then: that is slow, not wrong


def draw(url: str, connections: int, seconds: float, *, model: str, n: int = 1, accept: str = "image/png") -> Speed:
    """Ask ``POST /generate`` for ``n`` images a request, each with a seed of its own."""
    return _run(f"{url}/generate", connections, seconds, n, [model, str(n), accept, str(secrets.randbelow(2**27))])


def revalidate(url: str, connections: int, seconds: float, etag: str) -> Speed:
    """Ask again and again for a picture that one has."""
    return _run(url, connections, seconds, 1, [], "-H", f"If-None-Match: {etag}")


def _run(url: str, connections: int, seconds: float, n: int, arguments: list[str], *options: str) -> Speed:
    threads = min(connections, max(1, cpus.available() // 4))
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT), *PATIENT]
    done = subprocess.run([*command, *options, url, "--", *arguments], capture_output=True, text=True, check=True)
    counted = json.loads(done.stdout.splitlines()[-1])
    if counted["failed"]:
        raise RuntimeError(f"{counted['failed']} of {counted['requests']} requests failed: {done.stdout}")
    return Speed(n * counted["requests"] / counted["seconds"], *counted["ms"])
