"""Make samples look as different from what a generator draws as photos do: blurred, brighter, nearer, noisier.

An encoder that has seen clean samples alone reads into a photo's noise and framing what is not there.
"""

import torch
from torch import Tensor
from torch.nn import functional

BLURRED = 0.5  # share of the images that are mixed with a copy of half the size
CONTRAST = 0.1  # at most, more or less
BRIGHTNESS = 0.05  # likewise, of a range of 2
MOVED = 0.5  # share of the images that are cut out anew
ZOOM = 0.05  # at most, in or out
SHIFT = 0.08  # at most, of half the side
NOISE = 0.1  # deviation, at most


def disturb(images: Tensor) -> Tensor:
    """Map images (N, C, S, S) in [-1, 1] to the same shape, each changed at random."""
    count = len(images)
    blurred = functional.interpolate(functional.avg_pool2d(images, 2), images.shape[2:], mode="bilinear")
    images = torch.lerp(images, blurred, _share(count) * (_share(count) < BLURRED))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (1 + CONTRAST * _sign(count)) + BRIGHTNESS * _sign(count)
    moved = functional.affine_grid(_moves(count), list(images.shape), align_corners=False)
    images = functional.grid_sample(images, moved, padding_mode="border", align_corners=False)
    return images + torch.randn_like(images) * _share(count) * NOISE


def _moves(count: int) -> Tensor:
    """Return matrices (N, 2, 3) that zoom and shift, or leave an image as it is."""
    still = torch.eye(2, 3).repeat(count, 1, 1)
    moves = still * (1 + ZOOM * _sign(count)[:, 0])
    moves[:, :, 2] = SHIFT * (2 * torch.rand(count, 2) - 1)
    return torch.where(_share(count)[:, 0] < MOVED, moves, still)


def _share(count: int) -> Tensor:
    """Return numbers from 0 to 1, (N, 1, 1, 1)."""
    return torch.rand(count, 1, 1, 1)


def _sign(count: int) -> Tensor:
    """Return numbers from -1 to 1, (N, 1, 1, 1)."""
    return 2 * _share(count) - 1
