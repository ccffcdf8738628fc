"""Paths between latents: (Z,) float32, twice -> (steps, Z) float32; the first and the last row are the very ends.

The page draws the same paths: ``between`` in ``service/web/page/latents.js``, which a test holds to ``slerp``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.engine.latents import Latent

Path = NDArray[np.float32]  # (steps, Z)
PARALLEL = 1e-6  # below this sine, float32 does not tell which plane two latents span


def linear(start: Latent, end: Latent, steps: int) -> Path:
    """Return equal steps on the straight line; its middle is shorter than a latent of a normal distribution."""
    weights = np.linspace(0, 1, steps)[:, None]
    return _with_ends((1 - weights) * start + weights * end, start, end)


def slerp(start: Latent, end: Latent, steps: int) -> Path:
    """Return equal angles on the great circle, with a length that changes linearly from one end's to the other's.

    Latents of a normal distribution lie near a sphere, and a generator is not trained on its inside (White 2016,
    "Sampling generative networks"). Opposite latents are joined through a fixed direction perpendicular to both. The
    result is the straight line if there is no angle: parallel latents, a zero latent, latents of one number.
    """
    lengths = [float(np.linalg.norm(latent.astype(float))) for latent in (start, end)]
    if min(lengths) == 0:
        return linear(start, end, steps)
    along, target = start.astype(float) / lengths[0], end.astype(float) / lengths[1]
    cosine = along @ target
    aside = target - cosine * along
    sine = np.linalg.norm(aside)
    if sine < PARALLEL:
        if cosine > 0 or len(along) == 1:
            return linear(start, end, steps)
        aside = _perpendicular(along)
    angles = np.linspace(0, np.arctan2(sine, cosine), steps)[:, None]
    directions = np.cos(angles) * along + np.sin(angles) * aside / np.linalg.norm(aside)
    return _with_ends(directions * np.linspace(lengths[0], lengths[1], steps)[:, None], start, end)


PATHS = {"slerp": slerp, "linear": linear}


def places(points: int, steps: int, loop: bool = False) -> list[int]:
    """Return which of ``steps`` frames shows each of ``points``, evenly spread; a loop then leads back to the first.

    Each has a frame of its own where there are at least as many frames as points.
    """
    last, ways = (steps, points) if loop else (steps - 1, points - 1)
    return [(2 * i * last + ways) // (2 * ways) for i in range(points)]


def through(points: Sequence[Latent], steps: int, path: str = "slerp", loop: bool = False) -> Path:
    """Return ``steps`` latents on the way through ``points``, at least two; of a loop the last leads to the first."""
    at = places(len(points), steps, loop)
    pairs = zip(points, [*points[1:], points[0]], at, [*at[1:], steps], strict=True)
    parts = [PATHS[path](start, end, stop - first + 1)[:-1] for start, end, first, stop in pairs]
    return np.concatenate(parts if loop else [*parts[:-1], points[-1][None]])


def _perpendicular(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a vector perpendicular to ``unit``, (Z,) with Z > 1: the axis of its smallest number, projected."""
    axis = np.zeros_like(unit)
    axis[np.argmin(np.abs(unit))] = 1
    return axis - (axis @ unit) * unit


def _with_ends(path: NDArray[np.float64], start: Latent, end: Latent) -> Path:
    """Return ``path`` in float32, with the ends as they were given, so that they draw the same images as alone."""
    rounded = path.astype(np.float32)
    rounded[0], rounded[-1] = start, end
    return rounded
