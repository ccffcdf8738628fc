"""``python -m benchmarks.request_path``: what one ``POST /generate`` costs, in processor time and in opcodes of Python.

Requests go through uvicorn's connection class, our app, the batcher and the PNG writer in this process, eight at once,
over connections without a socket. So no client shares the processor, and the opcodes are the same in every run, however
busy the machine is.
"""

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from service.runtime.protocol import Protocol

AT_ONCE = 8
TRACED = 100  # rounds of one request each, for the opcodes
HEAD = b"POST /generate HTTP/1.1\r\nHost: localhost\r\nAccept: image/png\r\nContent-Type: application/json\r\n"


class Transport(asyncio.Transport):
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: Any) -> None:
        """Keep a part of an answer."""
        self.written += data

    def is_closing(self) -> bool:
        """Return False: nobody hangs up."""
        return False


class Opcodes:
    """Counts the opcodes that all threads run; made before they start."""

    def __init__(self) -> None:
        self.count, self.on = 0, False
        threading.settrace(self._begin)

    def _begin(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not self.on:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.count += event == "opcode"
        return self._step

    def start(self) -> None:
        """Start to count, also in this thread."""
        self.on = True
        sys.settrace(self._begin)

    def stop(self) -> int:
        """Stop; returns the count."""
        self.on = False
        sys.settrace(None)
        return self.count


class Driver:
    """Some connections to an app, of the event loop that runs."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app, http=Protocol, lifespan="off", log_config=None, proxy_headers=False, server_header=False
        )
        config.load()
        self._state = ServerState()
        self._transports = [Transport() for _ in range(AT_ONCE)]
        self._protocols = [Protocol(config, self._state, {"draining": threading.Event()}) for _ in range(AT_ONCE)]
        for protocol, transport in zip(self._protocols, self._transports, strict=True):
            protocol.connection_made(transport)

    async def ask(self, connections: int) -> None:
        """Send a request on each of some connections, and wait for all answers."""
        for seed in range(connections):
            self._transports[seed].written.clear()
            body = b'{"seed":%d,"n":1}' % seed
            self._protocols[seed].data_received(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        await asyncio.gather(*self._state.tasks)
        if not all(one.written.startswith(b"HTTP/1.1 200") for one in self._transports[:connections]):
            sys.exit("error: a request failed")


async def measure(app: ASGIApp, opcodes: Opcodes, rounds: int) -> str:
    """Return opcodes and microseconds of a request, with those of the event loop."""
    driver = Driver(app)
    for _ in range(20):
        await driver.ask(AT_ONCE)
    gc.collect()
    gc.freeze()
    took: list[tuple[float, float]] = []
    for _ in range(rounds):
        process, thread = time.process_time_ns(), time.thread_time_ns()
        await driver.ask(AT_ONCE)
        ended = time.thread_time_ns(), time.process_time_ns()
        took.append(((ended[1] - process) / 1000 / AT_ONCE, (ended[0] - thread) / 1000 / AT_ONCE))
    opcodes.start()
    for _ in range(TRACED):
        await driver.ask(1)
    whole, loop = (sorted(column)[rounds // 10] for column in zip(*took, strict=True))
    return f"{opcodes.stop() / TRACED:,.0f} opcodes; {whole:.0f} µs of processor time, {loop:.0f} in the event loop"


def main(
    model: Annotated[Path, typer.Argument(help="A model's folder.")] = Path("models/digits/1"),
    rounds: Annotated[
        int, typer.Option(min=10, help="Of eight requests; the time is that of the tenth percentile.")
    ] = 300,
) -> None:
    """Measure, and print a line."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(model, Path(folder) / "models" / model.resolve().parent.name / model.resolve().name)
        os.environ |= {"NELUMBO_MODELS": str(Path(folder) / "models"), "PROMETHEUS_MULTIPROC_DIR": folder}
        opcodes = Opcodes()
        from service.engine import crashes, state
        from service.service import make_outermost, renderer, served

        state.make()
        crashes.start()
        renderer.load()
        print(uvloop.run(measure(make_outermost(served.to_asgi(), None), opcodes, rounds)))
        renderer.close()


if __name__ == "__main__":
    typer.run(main)
