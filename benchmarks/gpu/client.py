"""A client of the service for machines without wrk: keep-alive connections on one event loop."""

import asyncio
import json
import time
from urllib.parse import urlsplit

from benchmarks.serving.speed import Speed, of_calls


def draw(url: str, connections: int, seconds: float, *, model: str, n: int = 1) -> Speed:
    """Ask ``POST /generate`` for ``n`` images a request on each connection; raises RuntimeError at another status."""
    return asyncio.run(_draw(url, connections, seconds, model, n))


async def _draw(url: str, connections: int, seconds: float, model: str, n: int) -> Speed:
    end, took = time.perf_counter() + seconds, list[float]()
    host, port = urlsplit(url).hostname, urlsplit(url).port

    async def connection(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        seed = number * 2**20
        while time.perf_counter() < end:
            started = time.perf_counter()
            body = json.dumps({"seed": seed, "n": n, "model": model}).encode()
            head = f"POST /generate HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: image/png\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            if b" 200 " not in answer.split(b"\r\n", 1)[0]:
                raise RuntimeError(answer.split(b"\r\n", 1)[0].decode())
            took.append(time.perf_counter() - started)
            seed += n
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*map(connection, range(connections)))
    return of_calls(n * len(took) / (time.perf_counter() - started), took)
