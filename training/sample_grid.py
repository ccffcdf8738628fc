"""What the grids of a run show: fixed latents, in a square; where there are classes, in a row for each of them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.classes import Labels

SQUARE = 64  # images in a grid without classes
COLUMNS = 8  # latents in a row of one class
ALL, SOME = 32, 16  # a grid shows up to 32 classes, and 16 of more


@dataclass(frozen=True)
class SampleGrid:
    """The places of a grid."""

    latents: Tensor  # (N, Z); with classes, the same ones in every row, so that a column is one latent
    labels: Tensor | None  # (N,) int64
    reals: NDArray[np.int64]  # (M,) which training images are shown; with classes, M = N
    columns: int | None  # None for a square


def without_classes(latent_dim: int, first: NDArray[np.int64]) -> SampleGrid:
    """Return a square of random latents, and of the first images that are trained on."""
    return SampleGrid(torch.randn(SQUARE, latent_dim), None, first[:SQUARE], None)


def with_classes(latent_dim: int, labels: Labels) -> SampleGrid:
    """Return a row for each class; its real images are evenly spaced among those of the class."""
    number = int(labels.max()) + 1
    shown = np.arange(number) if number <= ALL else np.arange(SOME) * number // SOME
    members = [np.flatnonzero(labels == label) for label in shown]
    reals = [images[np.arange(COLUMNS) * len(images) // COLUMNS] for images in members]
    latents = torch.randn(COLUMNS, latent_dim).repeat(len(shown), 1)
    return SampleGrid(latents, torch.from_numpy(shown.repeat(COLUMNS)), np.concatenate(reals), COLUMNS)
