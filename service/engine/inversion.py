"""Find the latent of a picture, from an encoder's estimate on, by Levenberg–Marquardt with finite differences.

Of the latents z of the length √Z, near which normal ones lie, it looks for the one that minimises

    mean((P(G(z) - x) / LEVELS)²) + |z - e|²

where e is the estimate, G draws, x is the picture, and P averages blocks of pixels to some 32 pixels a side. The second
term keeps z near the estimate: without it, the colours come as near as the model can bring them, and what is drawn is
a grey fog, which is no cat to an eye or to a network that knows cats. A step draws the images of z, moved a little
along each of its numbers: its cost is Z images and a few.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.latents import Latent

Images = NDArray[np.uint8]  # (N, H, W, C)
Floats = NDArray[np.float64]

SIDE = 32  # pixels that a picture is averaged to, or a few more, before it is compared
HELD = 2**25  # bytes of images that are drawn before they are averaged
LEVELS = 18.0  # of difference that weigh as much as a distance of 1 from the estimate
DELTA = 0.25  # of the finite differences: images change by whole levels
DAMPINGS = (0.0, 1.0, 4.0, 16.0, 64.0)  # of a step: the more, the shorter; the best of them is taken
DECIMALS = 4  # of a number of a latent: it is sent as text, and draws the same image


@dataclass(frozen=True)
class Inversion:
    """The latent that draws an image like a picture.

    Attributes:
        latent: (Z,).
        image: what it draws, (H, W, C).
        distance: mean difference of a pixel from the picture's, in levels of 0 to 255.
        steps: how many were taken.
    """

    latent: Latent
    image: NDArray[np.uint8]
    distance: float
    steps: int


def invert(
    picture: NDArray[np.uint8],
    estimate: Latent,
    draw: Callable[[NDArray[np.float32]], Images],
    steps: int,
) -> Inversion:
    """Return the best latent that is found near ``estimate`` in at most so many steps.

    Args:
        picture: (H, W, C), of the size that the model draws.
        estimate: (Z,).
        draw: latents (N, Z) -> images (N, H, W, C).
        steps: 0 for the estimate itself.
    """
    target = average(picture[None])[0]
    start = best = on_shell(estimate)
    drawn = draw(best[None])[0]
    residual = average(drawn[None])[0] - target
    taken = 0
    for _ in range(steps):
        candidates = _candidates(best, start, residual, _averages(draw, _around(best), picture.size) - target)
        images = draw(candidates)
        residuals = average(images) - target
        costs = _costs(residuals, candidates - start)
        nearest = int(costs.argmin())
        if costs[nearest] >= _costs(residual[None], (best - start)[None])[0]:
            break
        best, drawn, residual, taken = candidates[nearest], images[nearest], residuals[nearest], taken + 1
    distance = float(np.abs(drawn.astype(float) - picture).mean())
    return Inversion(best, drawn, round(distance, 2), taken)


def images_drawn(latent_dim: int, steps: int) -> int:
    """Return how many images :func:`invert` draws at most."""
    return 1 + steps * (latent_dim + len(DAMPINGS))


def _costs(residuals: Floats, moves: Floats | NDArray[np.float32]) -> Floats:
    """Return what is minimised (K,), of residuals (K, M) and distances from the estimate (K, Z)."""
    costs: Floats = np.square(residuals / LEVELS).mean(axis=1) + np.square(moves).sum(axis=1)
    return costs


def _averages(draw: Callable[[NDArray[np.float32]], Images], latents: NDArray[np.float32], size: int) -> Floats:
    """Return :func:`average` of what latents draw, (N, M); all of ``size`` bytes at once might fill the memory."""
    most = max(1, HELD // size)
    return np.concatenate([average(draw(latents[first : first + most])) for first in range(0, len(latents), most)])


def average(images: Images) -> Floats:
    """Return images (N, H, W, C) averaged over blocks of pixels, flattened (N, M); a rest at two edges is left out."""
    count, height, width, channels = images.shape
    rows, columns = (max(1, side // SIDE) for side in (height, width))
    down, across = height // rows, width // columns
    whole = images[:, : down * rows, : across * columns]
    blocks = whole.reshape(count, down, rows, across, columns, channels)
    averaged: Floats = blocks.mean(axis=(2, 4)).reshape(count, -1)
    return averaged


def _around(latent: Latent) -> NDArray[np.float32]:
    """Return the latent moved along each of its numbers, (Z, Z)."""
    moved: NDArray[np.float32] = latent + np.float32(DELTA) * np.eye(len(latent), dtype=np.float32)
    return moved


def _candidates(latent: Latent, start: Latent, residual: Floats, moved: Floats) -> NDArray[np.float32]:
    """Return the latents (K, Z) that the steps of all dampings lead to; ``moved`` are the residuals around (Z, M)."""
    unit = LEVELS * len(residual) ** 0.5
    slopes = (moved - residual) / (DELTA * unit)
    curvature = slopes @ slopes.T + np.eye(len(latent))
    downhill = -(slopes @ residual) / unit - (latent - start)
    moves = [np.linalg.solve(curvature + damping * np.eye(len(latent)), downhill) for damping in DAMPINGS]
    return on_shell(latent + np.stack(moves))


def on_shell(latents: Floats | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return latents (…, Z) with the length √Z, rounded to the digits that are sent."""
    lengths = np.linalg.norm(latents, axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = latents * (latents.shape[-1] ** 0.5 / np.maximum(lengths, 1e-6))
    return scaled.round(DECIMALS).astype(np.float32)
