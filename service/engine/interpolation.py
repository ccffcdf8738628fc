"""Ways from one latent to another, (Z,) float32 -> (steps, Z) float32; both ends are kept exactly."""

import numpy as np
from numpy.typing import NDArray

Latent = NDArray[np.float32]
PARALLEL = 1e-6  # below this sine two latents span no plane that float32 could tell


def linear(start: Latent, end: Latent, steps: int) -> Latent:
    """Return the straight line: equal steps, and in the middle a shorter latent than a normal one."""
    shares = np.linspace(0, 1, steps)[:, None]
    return _with_ends((1 - shares) * start + shares * end, start, end)


def slerp(start: Latent, end: Latent, steps: int) -> Latent:
    """Return the great circle: equal angles, and a length that goes evenly from one's to the other's.

    Latents of a normal distribution lie near a sphere, and a generator knows little of its inside (White 2016,
    "Sampling generative networks"). Opposite latents are joined through a fixed direction at right angles to both;
    where there is no angle (parallel latents, a zero one, a single number) the way is the straight line.
    """
    lengths = [float(np.linalg.norm(latent.astype(float))) for latent in (start, end)]
    if min(lengths) == 0:
        return linear(start, end, steps)
    along, target = start.astype(float) / lengths[0], end.astype(float) / lengths[1]
    cosine = along @ target
    aside = target - cosine * along
    if np.linalg.norm(aside) < PARALLEL:
        if cosine > 0 or len(along) == 1:
            return linear(start, end, steps)
        aside = _perpendicular(along)
    angles = np.linspace(0, np.arctan2(np.linalg.norm(target - cosine * along), cosine), steps)[:, None]
    directions = np.cos(angles) * along + np.sin(angles) * aside / np.linalg.norm(aside)
    return _with_ends(directions * np.linspace(lengths[0], lengths[1], steps)[:, None], start, end)


PATHS = {"slerp": slerp, "linear": linear}


def _perpendicular(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a vector at right angles to ``unit``, (Z,) with Z > 1: its least axis, less what points along it."""
    axis = np.zeros_like(unit)
    axis[np.argmin(np.abs(unit))] = 1
    return axis - (axis @ unit) * unit


def _with_ends(path: NDArray[np.float64], start: Latent, end: Latent) -> Latent:
    """Return ``path`` in float32, with the very ends that were given: they draw the very pictures of their seeds."""
    rounded = path.astype(np.float32)
    rounded[0], rounded[-1] = start, end
    return rounded
