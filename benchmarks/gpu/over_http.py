"""(c) Images over HTTP beside the raw session: connections, the best batch bound, memory."""

import shutil
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import psutil

from benchmarks.gpu import client
from benchmarks.gpu.found import nvidia_smi
from benchmarks.gpu.raw import copies
from benchmarks.gpu.setup import Row, Setup, attempt, available, models, rate
from benchmarks.serving import wrk
from benchmarks.serving.speed import Speed
from service.contract.graph import ModelFile, read_model
from service.engine.providers import registry as providers
from tests.e2e.server import Server, serving

LOADS = ((1, 1), (32, 1), (128, 1), (64, 1), (64, 16))  # connections, images in a request
BOUNDS = (16, 32, 64, 128)
MEMORY_SECONDS = 300.0


def measure(setup: Setup) -> Iterator[Row]:
    """Yield the raw rate, HTTP's at each load and bound, and memory before and after."""
    started, missing = available(setup)
    yield from missing
    folder = models(setup)
    name = "dcgan64" if (folder / "dcgan64").exists() else "digits"
    bounds, loads = (BOUNDS[:1], LOADS[:2]) if setup.tiny else (BOUNDS, LOADS)
    for provider in started[:1]:
        seconds = max(1.0, setup.seconds / 2 / (len(bounds) * len(loads)))
        for bound in bounds:
            file = read_model(folder / name / "1")
            raw = attempt({}, partial(_raw, file, provider, bound, seconds))
            row = {"model": name, "provider": provider, "max_batch": bound}
            yield row | {"load": "raw session"} | raw
            given = {"models": folder, "provider": provider, "max_batch": bound, "default_model": name}
            try:
                with serving(setup.work / "server.log", **given) as server:
                    for connections, n in loads:
                        load = row | {"load": f"{connections} connections, n = {n}"}
                        yield attempt(load, partial(_http, server, name, connections, n, seconds, raw))
                    if bound == bounds[-1]:
                        yield from _memory(server, name, min(MEMORY_SECONDS, setup.seconds / 4))
            except AssertionError as error:  # the server did not start; its log is the message
                yield row | {"reason": " ".join(str(error).split())[-300:]}


def _raw(file: ModelFile, provider: str, batch: int, seconds: float) -> Row:
    session = providers.open_session(file.data, provider, max_batch=batch)
    latents = np.random.default_rng(0).normal(size=(batch, file.card.latent_dim)).astype(np.float32)
    return rate(copies(session, latents), batch, seconds)


def _http(server: Server, model: str, connections: int, n: int, seconds: float, raw: Row) -> Row:
    found = _draw(server, model, connections, n, seconds)
    own = raw.get("images_per_second")
    ratio = {"of_raw": round(found.rate / own, 3)} if own else {}
    return {
        "images_per_second": round(found.rate, 1),
        "p50_ms": round(found.p50, 2),
        "p95_ms": round(found.p95, 2),
    } | ratio


def _draw(server: Server, model: str, connections: int, n: int, seconds: float) -> Speed:
    if shutil.which("wrk"):
        return wrk.draw(server.url, connections, seconds, model=model, n=n)
    return client.draw(server.url, connections, seconds, model=model, n=n)


def _memory(server: Server, model: str, seconds: float) -> Iterator[Row]:
    """Yield memory a few times while images are drawn."""
    started = time.perf_counter()
    for _ in range(6):
        process = psutil.Process(server.process.pid)
        size = sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
        row = {"load": f"memory after {time.perf_counter() - started:.0f} s", "rss_mib": round(size / 2**20)}
        yield attempt(row, lambda: {"gpu_memory": nvidia_smi("memory.used")})
        _draw(server, model, 32, 1, seconds / 5)
