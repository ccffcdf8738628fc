"""Invalid requests to a real server: it must refuse each, and its memory must not grow."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from tests.e2e.server import Server
from tests.fuzz.examples import ARRAYS, BODIES, IMAGES, QUERIES, WALKS

CONNECTIONS = 100
PATIENCE = 1.0  # seconds for an answer: to half a request there is none
AT_ONCE = 2000  # inputs that are made at once
GROWTH = 16 * 2**20  # bytes that it may have grown by from then on
LINES = (b"Content-Length: 5", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"Expect: 100-continue")
MORE_LINES = (b"Upgrade: websocket", b"Connection: Upgrade", b"Accept: image/*;q=x", b"Content-Encoding: gzip")
VALUES = (b"NaN", b"-1", b"1e999", b"4294967296", b"9" * 5000, b"true", b"null", b"\\ud800", b"[" * 1000, b"{", b'"')
TEXTS = (b"\r\n", b"%0A", b"\n", b"\0", b"%00", b"../", b"%2e%2e%2f", b"\xff\xfe", b" ", b"\t", b":", b"HTTP/2.0")
TOKENS = (*VALUES, *TEXTS, *(line + b"\r\n" for line in (*LINES, *MORE_LINES)), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

PATHS = {"/generate": BODIES, "/interpolate": WALKS, "/render": ARRAYS}
TARGETS = [*(f"/images/grey@1/{image}" for image in IMAGES), *QUERIES[:2], "/models?" + "a=1&" * 15]
BODIES_OF_PATHS = [(path, json.dumps(body).encode()) for path, bodies in PATHS.items() for body in bodies]


@dataclass
class Result:
    """What was tried, and what came of it."""

    statuses: Counter[int]  # 0: no answer
    before: int  # bytes of memory after half of them
    after: int

    @property
    def failed(self) -> bool:
        """Tell whether anything was a fault of the server."""
        faults = [status for status in self.statuses if status >= 500 and status not in (503, 504)]
        return bool(faults) or self.after - self.before > GROWTH

    def __str__(self) -> str:
        told = ", ".join(f"{status or 'none'}: {count:,}" for status, count in sorted(self.statuses.items()))
        memory = f"{self.before / 2**20:.1f} MiB after half of them and {self.after / 2**20:.1f} after all"
        return f"server: {self.statuses.total():,} inputs; answers {told}; {memory}"


def fuzz(server: Server, inputs: int, seed: int) -> Result:
    """Send so many inputs; the server must live, answer none with a fault of its own, and not grow."""
    made = random.Random(seed)
    statuses = _fuzz(server, inputs // 2, made)  # BentoML keeps a kilobyte of each of its requests for a minute
    before = _memory(server)
    statuses += _fuzz(server, inputs - inputs // 2, made)
    good = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    assert asyncio.run(_send_all(server.url, [good], patience=60)) == {200: 1}
    return Result(statuses, before, _memory(server))


def _fuzz(server: Server, inputs: int, made: random.Random) -> Counter[int]:
    statuses: Counter[int] = Counter()
    for sent in range(0, inputs, AT_ONCE):
        some = [bad(made) for _ in range(min(AT_ONCE, inputs - sent))]
        statuses += asyncio.run(_send_all(server.url, some))
    return statuses


def bad(made: random.Random) -> bytes:
    """Return a good request that one to four things have happened to: to its body alone, or to all of it."""
    if made.random() < 0.3:
        return _spoilt(made, _get(made.choice(TARGETS)))
    path, body = made.choice(BODIES_OF_PATHS)
    if made.random() < 0.5:
        return _post(path, _spoilt(made, body))
    return _spoilt(made, _post(path, body))


def _spoilt(made: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(made.choice((1, 1, 1, 2, 4))):
        start = made.randrange(len(data) + 1)
        end = min(len(data), start + made.randint(0, 16))
        match made.randrange(5):
            case 0 if start < len(data):
                data[start] = made.randrange(256)
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end]
            case 3:
                data[start:start] = made.choice(TOKENS)
            case _:
                data[start:end] = made.randbytes(end - start)
    return bytes(data)


def _get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".encode()


def _post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: image/png, */*;q=0.1\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def _send_all(url: str, inputs: list[bytes], patience: float = PATIENCE) -> Counter[int]:
    left = iter(inputs)

    async def work() -> list[int]:
        return [await _send(url, data, patience) for data in left]

    done = await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return Counter(status for statuses in done for status in statuses)


async def _send(url: str, data: bytes, patience: float) -> int:
    """Return the status of the answer, 0 where there is none."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        line = await asyncio.wait_for(reader.readline(), patience)
        return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0
    except (TimeoutError, OSError):
        return 0
    finally:
        writer.transport.abort()


def _memory(server: Server) -> int:
    supervisor = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in (supervisor, *supervisor.children(recursive=True)))
