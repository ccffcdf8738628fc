"""Latents and classes of seeds: StyleGAN's convention, on a NumPy random stream that does not change any more."""

import functools
import threading

import numpy as np
from numpy.typing import NDArray

Latent = NDArray[np.float32]  # (Z,)
SEEDS = 2**32
_kept = threading.local()


def from_seed(seed: int, size: int) -> Latent:
    """Return ``RandomState(seed).randn(size)`` as float32, (size,); ``seed`` is from 0 to 2**32 - 1."""
    latent: Latent = _seeded(seed).randn(size).astype(np.float32)
    return latent


def with_label(seed: int, size: int, classes: int) -> tuple[Latent, int]:
    """Return a seed's latent and the number of the class that it draws after it, by ``randint(classes)``."""
    state = _seeded(seed)
    return state.randn(size).astype(np.float32), int(state.randint(classes))


@functools.lru_cache(maxsize=4096)
def label_of(seed: int, size: int, classes: int) -> int:
    """Return the number of the class that a seed draws after its latent, (size,)."""
    return with_label(seed, size, classes)[1]


def _seeded(seed: int) -> np.random.RandomState:
    try:
        state: np.random.RandomState = _kept.state
    except AttributeError:  # one for each thread: constructing a RandomState takes 40 times as long as reseeding it
        state = _kept.state = np.random.RandomState()
    state.seed(seed)
    return state


def consecutive(seed: int, n: int) -> tuple[int, ...]:
    """Return ``n`` seeds from ``seed`` on; 0 follows 2**32 - 1."""
    return tuple((seed + i) % SEEDS for i in range(n))
