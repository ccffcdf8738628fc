"""Directions along which a generator's images change most, in closed form (SeFa: Shen and Zhou 2021).

The layers that an entry meets first are linear in it. Its most telling directions are the singular vectors of these
layers with the largest singular values: no images, labels or training are needed. They are orthogonal.
"""

from collections.abc import Callable

import numpy as np
import onnx

from export.controls import evaluate
from export.entries import Entry
from export.sampler import Floats, Images

STEP = 16.0  # levels of 255 that an amount of 1 changes a pixel by, on average
DEVIATIONS = 0.5, 1.5  # bounds of an amount of 1, in standard deviations of the entry along the direction
FURTHEST = {False: 4.5, True: 2.25}  # deviations from the mean at the ends of the useful range, of a latent and a style


def singular_vectors(model: onnx.ModelProto, entry: Entry, count: int) -> Floats:
    """Return the unit vectors (count, D) along which the first layers change most, the strongest first."""
    probes = np.concatenate([np.zeros((1, entry.size)), np.eye(entry.size)]).astype(np.float32)
    drawn = evaluate(model, {entry.value: probes}, entry.layers)
    # (D, M): what each number of the entry does to all that the layers give.
    effects = np.concatenate([(one[1:] - one[:1]).reshape(entry.size, -1) for one in drawn], axis=1).astype(np.float64)
    _, vectors = np.linalg.eigh(effects @ effects.T)  # ascending
    strongest = vectors.T[::-1][:count]
    signs = np.sign(strongest[np.arange(len(strongest)), np.abs(strongest).argmax(axis=1)])
    vectors32: Floats = (strongest * signs[:, None]).astype(np.float32)
    return vectors32


def deviations(values: Floats, vectors: Floats) -> Floats:
    """Return the standard deviation (K,) of an entry, of which some values (N, D) are given, along vectors (K, D)."""
    along: Floats = (values @ vectors.T).std(axis=0)
    return along


def step_lengths(count: int, draw: Callable[[Floats], Images]) -> Floats:
    """Return how many deviations an amount of 1 is to be along each direction, (K,), so that it is a clear step.

    Args:
        count: K.
        draw: amounts in deviations (K,) -> images of some latents (N, H, W, C).
    """
    still = draw(np.zeros(count, np.float32)).astype(np.float32)
    changes = [np.abs(draw(row) - still).mean() for row in np.eye(count, dtype=np.float32)]
    return np.clip(STEP / np.maximum(changes, 1e-3), *DEVIATIONS).astype(np.float32)


def useful_range(length: float, *, style: bool) -> float:
    """Return the largest useful amount along a direction whose amount of 1 is ``length`` deviations of its entry."""
    return min(4.0, round(2 * FURTHEST[style] / length) / 2)
