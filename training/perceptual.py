"""How far images are from pictures for an eye: by the features of a network that knows objects."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.images import Pixels
from training.metrics import efficientnet
from training.metrics.features import BATCH, random_conv
from training.pictures import to_images


@dataclass(frozen=True)
class Perceptual:
    """A distance over EfficientNet-Lite2's features, or over a random network's where its wheel is not installed.

    Attributes:
        extract: images (N, C, S, S) in [-1, 1] -> features (N, D); gradients flow through it.
        batch: images at once.
    """

    extract: Callable[[Tensor], Tensor]
    batch: int = BATCH

    @classmethod
    def open(cls, channels: int, size: int) -> "Perceptual":
        """Return the distance between images of this shape."""
        if (network := efficientnet.load_network()) is None:
            return cls(random_conv(channels, size).extract)
        return cls(network.features, efficientnet.BATCH)

    def describe(self, images: Tensor) -> Tensor:
        """Return the features (N, D) of images (N, C, S, S) in [-1, 1]; gradients flow through it."""
        return self.extract(images).float()

    @torch.no_grad()
    def describe_all(self, pixels: Pixels) -> Tensor:
        """Return the features (N, D) of many images (N, C, S, S), in batches."""
        parts = torch.split(torch.from_numpy(pixels), self.batch)
        return torch.cat([self.describe(to_images(part)) for part in parts])


def apart(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared distances (N,) of features (N, D) from those wanted, as a share of the length of these."""
    return (found - wanted).square().sum(dim=1) / wanted.square().sum(dim=1)
