"""The limit: seeds in, PNGs out, on as many threads as cores, with the service's own parts and no HTTP."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.serving.speed import Speed, of_calls
from service.engine import latents
from service.engine.model import Model
from service.engine.requests import RenderRequest
from service.formats import metadata, png


def loop(model: Model, threads: int, batch: int, seconds: float) -> Speed:
    """Draw batches on each thread for some seconds, one at least."""
    end = time.perf_counter() + seconds

    def calls(thread: int) -> list[float]:
        seeds, took = itertools.count(thread * 2**24), []
        while (started := time.perf_counter()) < end or not took:
            draw(model, [next(seeds) for _ in range(batch)])
            took.append(time.perf_counter() - started)
        return took

    with ThreadPoolExecutor(threads) as pool:
        took = list(pool.map(calls, range(threads)))
    return of_calls(sum(batch * len(one) / sum(one) for one in took), [call for one in took for call in one])


def draw(model: Model, seeds: list[int]) -> list[bytes]:
    """Return the PNGs of some seeds."""
    request = RenderRequest(model, seeds=seeds)
    if model.plain:
        images = model.run(np.stack([latents.from_seed(seed, model.card.latent_dim) for seed in seeds]))
    else:
        images = model.run_rows([item.to_row(model.card) for item in request.items()])
    return [png.encode(image, metadata.png_chunks(request.texts_of(i))) for i, image in enumerate(images)]
