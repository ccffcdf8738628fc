"""From seeds to latents: the convention of StyleGAN's tools, on a NumPy stream that is frozen for ever."""

import threading

import numpy as np
from numpy.typing import NDArray

SEEDS = 2**32
_kept = threading.local()


def from_seed(seed: int, size: int) -> NDArray[np.float32]:
    """Return ``RandomState(seed).randn(size)`` as float32, (size,); ``seed`` is 0 … 2**32 - 1."""
    try:
        state = _kept.state
    except AttributeError:  # one a thread: to make a RandomState costs forty times what to reseed it does
        state = _kept.state = np.random.RandomState()
    state.seed(seed)
    latent: NDArray[np.float32] = state.randn(size).astype(np.float32)
    return latent


def consecutive(seed: int, n: int) -> tuple[int, ...]:
    """Return the seeds of ``n`` images that start at ``seed``; after 2**32 - 1 comes 0."""
    return tuple((seed + i) % SEEDS for i in range(n))
