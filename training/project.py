"""Find the latent of a photo by gradient descent: slower than an encoder, and nearer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.differentiable import Generator
from training.images import Pixels
from training.metrics import efficientnet
from training.metrics.features import random_conv
from training.pictures import to_images, to_pixels

STARTS = 64  # random latents, of which the best is the start
LEARNING_RATE = 0.05
PIXEL_WEIGHT = 1.0  # of the mean square difference of pixels, beside that of the features
PRIOR_WEIGHT = 0.02  # of the latent's mean square: a longer latent is none that the generator was trained on


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
    loss_of = _loss(generator, target)
    labels = None if label is None else torch.tensor([label])
    latent = _best(generator, loss_of, torch.randn(STARTS, generator.latent_dim) if start is None else start, labels)
    latent.requires_grad_()
    optimiser = torch.optim.Adam([latent], LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
        loss = loss_of(generator(latent, labels)).sum() + PRIOR_WEIGHT * latent.square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        report(step, loss.item())
    with torch.inference_mode():
        image = generator(latent, labels)
    return Projection(latent.detach()[0].numpy(), to_pixels(image)[0], float(loss_of(image)))


def _loss(generator: Generator, target: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function of images (N, C, S, S) that measures how far they are from the target, (N,)."""
    features = efficientnet.load() or random_conv(generator.channels, generator.size)
    with torch.no_grad():
        wanted = features.extract(target)

    def loss_of(images: Tensor) -> Tensor:
        found = features.extract(images)
        apart = (found - wanted).square().mean(dim=1) / wanted.square().mean()
        pixels = (images - target).square().mean(dim=(1, 2, 3))
        return apart + PIXEL_WEIGHT * pixels

    return loss_of


@torch.no_grad()
def _best(generator: Generator, loss_of: Callable[[Tensor], Tensor], starts: Tensor, labels: Tensor | None) -> Tensor:
    """Return the start (1, Z) whose image is nearest."""
    images = generator(starts, None if labels is None else labels.expand(len(starts)))
    return starts[loss_of(images).argmin()][None].clone()
