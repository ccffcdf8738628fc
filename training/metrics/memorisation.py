"""Detect memorisation: compare each sample with its nearest training image.

Distances are between thumbnails of 16×16 pixels, so that slightly altered copies are found, or between a network's
features, which also find copies that are moved or mirrored. Some images are near many others (a plain 1, a closed bud).
The criterion is therefore the distance to the nearest training image relative to the mean distance to the nearest fifty
(Carlini et al. 2023, section 4.2): 0 for a copy, near 1 for a new image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from training.images import Pixels
from training.metrics.errors import median, share
from training.metrics.features import in_batches
from training.metrics.neighbours import nearest
from training.pictures import grid

THUMBNAIL = 16  # pixels
NEIGHBOURS = 50
# Relative distance below which a sample counts as a copy. 0.9% of MNIST's images are that near to another one; 95 to
# 100% of photos that are shifted by a pixel or have noise of 10 levels are found.
COPY = 0.5
PAIRS, COLUMNS = 16, 4


@dataclass(frozen=True)
class Matches:
    """The nearest training image of each of N images."""

    indices: NDArray[np.int64]  # (N,)
    distances: NDArray[np.float32]  # (N,) of thumbnails: root mean square, in levels of 0 to 255
    relative: NDArray[np.float32]  # (N,) by the mean distance of the nearest fifty

    def figures(self) -> dict[str, float]:
        """Return the median distance of thumbnails to the nearest training image, and the share of copies."""
        return {"nearest": median(self.distances), "copies": share(self.relative < COPY)}


class TrainingSet:
    """Training images that samples are compared with; ``mirror`` adds the mirror image of each."""

    def __init__(self, images: Pixels, *, mirror: bool, describe: Callable[[Pixels], Tensor] | None = None) -> None:
        self.images = np.concatenate([images, images[..., ::-1]]) if mirror else images
        self.count = len(images)
        self._describe = describe or thumbnails  # images (N, C, S, S) -> points (N, D)
        self.points = self._describe(self.images)  # (M, D)

    def match(self, queries: Pixels) -> Matches:
        """Find the nearest training image of each image (N, C, S, S)."""
        return self._match(self._describe(queries), own=None)

    def match_own(self, indices: NDArray[np.int64]) -> Matches:
        """Find the nearest other training image of each of the given training images (N,)."""
        own = np.stack([indices + offset for offset in range(0, len(self.images), self.count)], axis=1)
        return self._match(self.points[torch.from_numpy(indices)], torch.from_numpy(own))

    def _match(self, queries: Tensor, own: Tensor | None) -> Matches:
        number = min(NEIGHBOURS, self.count - 1)
        distances, indices = nearest(queries, self.points, number, own)
        relative = distances[:, 0] / distances.mean(dim=1).clamp(min=1e-8)
        return Matches(indices[:, 0].numpy(), distances[:, 0].numpy(), relative.numpy())

    def closest(self, samples: Pixels, matches: Matches, number: int) -> Pixels:
        """Return the samples closest to a training image, each before that image: (number, 2, C, S, S)."""
        first = np.argsort(matches.relative)[:number]
        pairs: Pixels = np.stack([samples[first], self.images[matches.indices[first]]], axis=1)
        return pairs


def thumbnails(pixels: Pixels) -> Tensor:
    """Average images (N, C, S, S) to 16×16 pixels: points (N, D) whose distance is a root mean square in levels."""
    small = in_batches(lambda images: functional.adaptive_avg_pool2d(images, THUMBNAIL).flatten(1), pixels)
    levels: Tensor = small * (127.5 / small.shape[1] ** 0.5)
    return levels


def picture(pairs: Pixels) -> Image.Image:
    """Return a grid of pairs (N, 2, C, S, S), four in a row."""
    return grid(pairs.reshape(-1, *pairs.shape[2:]), columns=2 * COLUMNS)
