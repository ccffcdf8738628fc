"""Find the latent of a photo by gradient descent: slower than an encoder, and nearer.

The latent stays on the shell where normal ones lie, and photo and image are moved alike before each comparison: without
both, the descent finds images that have a photo's features and look like nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.differentiable import Generator
from training.encoder import on_shell
from training.images import Pixels
from training.perceptual import Perceptual, apart
from training.pictures import to_images, to_pixels

STARTS = 64  # random latents, of which the best is the start
LEARNING_RATE = 0.05
PIXEL_WEIGHT = 1.0  # of the mean square difference of pixels, beside that of the features
MOST_MOVED = 1 / 16  # of the side, in each direction, before a comparison


@dataclass(frozen=True)
class Projection:
    """The latent that draws an image like a photo."""

    latent: NDArray[np.float32]  # (Z,)
    image: Pixels  # (C, S, S)
    loss: float


def project(
    generator: Generator,
    photo: Pixels,
    steps: int,
    start: Tensor | None = None,
    label: int | None = None,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Projection:
    """Return the latent of a photo (C, S, S).

    Args:
        generator: what draws.
        photo: of the generator's size and channels.
        steps: of gradient descent.
        start: latents (N, Z), such as an encoder's estimate, of which the best is the start; default: random ones.
        label: of a generator with classes.
        report: called with each step and its loss.
    """
    target = to_images(torch.from_numpy(photo))[None]
    perceptual = Perceptual.open(generator.channels, generator.size)
    labels = None if label is None else torch.tensor([label])
    starts = torch.randn(STARTS, generator.latent_dim) if start is None else start
    latent = _best(generator, perceptual, target, starts, labels).requires_grad_()
    optimiser = torch.optim.Adam([latent], LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
        loss = _loss(perceptual, *_moved_alike(generator(on_shell(latent), labels), target)).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        report(step, loss.item())
    with torch.inference_mode():
        found = on_shell(latent)
        image = generator(found, labels)
        loss = _loss(perceptual, image, target)
    return Projection(found[0].numpy(), to_pixels(image)[0], float(loss))


def _loss(perceptual: Perceptual, images: Tensor, target: Tensor) -> Tensor:
    """Return how far images (N, C, S, S) are from a target (1, C, S, S), (N,)."""
    pixels = (images - target).square().mean(dim=(1, 2, 3))
    return apart(perceptual.describe(images), perceptual.describe(target)) + PIXEL_WEIGHT * pixels


def _moved_alike(*images: Tensor) -> tuple[Tensor, ...]:
    """Shift images (N, C, S, S), and perhaps mirror them, all in the same random way."""
    size = images[0].shape[2]
    most = round(size * MOST_MOVED)
    top, left, mirrored = (int(torch.randint(limit, ())) for limit in (2 * most + 1, 2 * most + 1, 2))
    padded = (functional.pad(one, [most] * 4, mode="replicate") for one in images)
    cut = (one[:, :, top : top + size, left : left + size] for one in padded)
    return tuple(one.flip(3) if mirrored else one for one in cut)


@torch.no_grad()
def _best(
    generator: Generator, perceptual: Perceptual, target: Tensor, starts: Tensor, labels: Tensor | None
) -> Tensor:
    """Return the start (1, Z) whose image is nearest."""
    images = generator(on_shell(starts), None if labels is None else labels.expand(len(starts)))
    return starts[_loss(perceptual, images, target).argmin()][None].clone()
