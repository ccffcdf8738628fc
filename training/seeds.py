"""Seeds: lists of them on the command line, and the latents and labels that they draw, here as in the service."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError

Latents = NDArray[np.float32]  # (N, Z)
Labels = NDArray[np.int64]  # (N,)


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a list such as ``0-63`` or ``1,5,9-12``; raises InputError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 2**32 or last - first >= 10_000:
            raise InputError(
                f"--seeds {text} is invalid; use numbers below 4294967296 and ascending ranges: 0-63 or 1,5,9-12"
            )
        seeds += range(first, last + 1)
    return seeds


def draw(seeds: Sequence[int], latent_dim: int, classes: int) -> tuple[Latents, Labels | None]:
    """Return the latents of seeds and, of a model with classes, the labels that the seeds draw after them."""
    randoms = [np.random.RandomState(seed) for seed in seeds]
    latents = np.stack([random.randn(latent_dim) for random in randoms]).astype(np.float32)
    return latents, np.array([random.randint(classes) for random in randoms]) if classes else None
