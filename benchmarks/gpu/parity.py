"""(a) How far a provider's pixels are from the CPU's, and whether they change from run to run and batch to batch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.setup import Row, Setup, attempt, available, files, in_precision
from service.contract.graph import ModelFile
from service.engine.providers import registry as providers
from service.engine.rows import neutral, to_feeds
from service.precision import Precision

Images = NDArray[np.uint8]


def measure(setup: Setup) -> Iterator[Row]:
    """Yield a row for each model, provider and precision, and each batch of it."""
    started, missing = available(setup)
    yield from missing
    for name, file in files(setup):
        for provider in started:
            for precision in (Precision.FLOAT32, Precision.FLOAT16):
                row = {"model": name, "provider": provider, "precision": str(precision)}
                yield attempt(row, lambda file=file, p=provider, q=precision: compare(file, p, q, setup.batches))


def compare(file: ModelFile, provider: str, precision: Precision, batches: list[int]) -> Row:
    """Return the differences from the CPU in levels of 255, over batches of each size."""
    card = file.card
    latents = np.stack([np.random.RandomState(seed).randn(card.latent_dim) for seed in range(batches[-1])])
    latents = latents.astype(np.float32)
    feeds = to_feeds(card, neutral(card, latents))
    reference = providers.open_session(file.data, "cpu").run(None, feeds)[0]
    session = providers.open_session(
        in_precision(file, precision), provider, precision=precision, max_batch=batches[-1]
    )
    shape = card.height, card.width, card.channels

    def draw(batch: int) -> Images:
        some = {name: values[:batch] for name, values in feeds.items()}
        return np.array(providers.find(provider).run(session, some, shape))

    drawn = {batch: draw(batch) for batch in batches}
    errors = {batch: np.abs(images.astype(int) - reference[:batch]) for batch, images in drawn.items()}
    whole = drawn[batches[-1]]
    return {
        "largest": max(int(error.max()) for error in errors.values()),
        "mean": round(max(float(error.mean()) for error in errors.values()), 4),
        "same_each_run": all(bool((draw(batch) == images).all()) for batch, images in drawn.items()),
        "same_each_batch": all(bool((images == whole[:batch]).all()) for batch, images in drawn.items()),
    }
