"""A simulated device, and how much of its own rate the batcher keeps: ``python -m benchmarks.gpu.simulated``.

A run takes 2 ms and 0.1 ms an image, in which the processor is free; runs queue up, as they do on a GPU's stream.
Connections ask again and again from one event loop, as the service's do, and images are encoded as PNG.
"""

import asyncio
import json
import threading
import time
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from service import cpus
from service.engine import latents
from service.engine.batcher import Batcher
from service.engine.jobs import Job
from service.engine.providers.nvidia import CUDA
from service.formats import png

LATENT, SIDE = 128, 32


class Device:
    """Runs one batch after another, and keeps the size of each."""

    def __init__(self, run: float = 0.002, image: float = 0.0001) -> None:
        self.run, self.image = run, image
        self.batches: list[int] = []
        self._free_at = 0.0
        self._turn = threading.Lock()
        self._pixels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)

    def infer(self, _: Any, drawn: list[Any]) -> list[NDArray[np.uint8]]:
        """Return an image (H, W, C) for each latent."""
        with self._turn:
            self.batches.append(len(drawn))
            self._free_at = end = max(self._free_at, time.perf_counter()) + self.run + self.image * len(drawn)
        while (left := end - time.perf_counter()) > 0:
            time.sleep(left)
        return [self._pixels] * len(drawn)


def prepare(_: Any, seed: int) -> NDArray[np.float32]:
    """Return a seed's latent."""
    return latents.from_seed(seed, LATENT)


def batcher(device: Device, streams: int, max_batch: int, cores: int) -> Batcher:
    """Return a batcher before a device, as the service has it before a GPU."""
    return Batcher(
        prepare,
        device.infer,
        slots=CUDA.slots(cores, streams),
        threads=CUDA.threads(cores, streams),
        ahead=CUDA.ahead,
        max_batch=max_batch,
        bound=4096,
    )


class Result(NamedTuple):
    """Images a second: the device's own, the batcher's, and their ratio; images in a mean batch."""

    own: float
    served: float
    ratio: float
    batch: float


def measure(connections: int, max_batch: int, seconds: float, n: int = 1, streams: int = 1) -> Result:
    """Return what is left of the device's own rate in batches of ``max_batch``, or of all that can wait if fewer."""
    device = Device()
    full = min(max_batch, connections * n)
    own = full / (device.run + device.image * full)
    made = batcher(device, streams, max_batch, cpus.available())
    try:
        served = asyncio.run(_connections(made, connections, n, seconds))
    finally:
        made.close()
    return Result(own, served, served / own, sum(device.batches) / len(device.batches))


async def _connections(made: Batcher, connections: int, n: int, seconds: float) -> float:
    """Return the images a second that ``connections`` got, each waiting for its answer before it asks again."""
    end, drawn = time.perf_counter() + seconds, 0

    async def connection(number: int) -> None:
        nonlocal drawn
        seed = number * 2**20
        while time.perf_counter() < end:
            seeds = range(seed, seed + n)
            job = Job(None, seeds, lambda _, image: png.encode(image), list, time.monotonic() + 60)
            made.submit(job)
            await asyncio.wrap_future(job.future)
            seed, drawn = seed + n, drawn + n

    started = time.perf_counter()
    await asyncio.gather(*map(connection, range(connections)))
    return drawn / (time.perf_counter() - started)


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="Of one measurement.")] = 3.0,
    max_batch: Annotated[int, typer.Option(min=1)] = 16,
) -> None:
    """Print a line of JSON for each number of connections."""
    for connections, n in ((1, 1), (1, 16), (32, 1), (64, 1), (128, 1), (8, 16)):
        found = measure(connections, max_batch, seconds, n)._asdict()
        print(json.dumps({"connections": connections, "n": n} | {name: round(x, 3) for name, x in found.items()}))


if __name__ == "__main__":
    typer.run(main)
