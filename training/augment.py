"""DiffAugment: real and generated images are augmented before the critic sees them (Zhao et al. 2020).

A critic soon overfits a few photos; augmentation delays that. The generator does not learn the augmentations as long as
real and generated images get them, in the critic's and the generator's step, and gradients flow through. Each function
maps images (N, C, H, W) in [-1, 1] to the same shape, with random parameters for each image.
A new one is a function and its line in :data:`AUGMENTATIONS`.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from training.registry import Registry

SHIFT = 1 / 8  # of the side, at most, in each direction
CUT = 1 / 2  # of the side


def augment(images: Tensor, names: Iterable[str]) -> Tensor:
    """Apply the named augmentations in their order."""
    for name in names:
        images = AUGMENTATIONS[name](images)
    return images


def colour(images: Tensor) -> Tensor:
    """Brightness moved by up to ±0.5, saturation scaled by 0 to 2, contrast by 0.5 to 1.5."""
    factors = torch.rand(3, len(images), 1, 1, 1, device=images.device).to(images.dtype)
    brightness, saturation, contrast = factors
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = torch.lerp(grey, images, 2 * saturation)
    return torch.lerp(images.mean(dim=(1, 2, 3), keepdim=True), images, contrast + 0.5)


def translation(images: Tensor) -> Tensor:
    """Shifted by up to an eighth of the side in both directions; the pixels of the edge fill the gap.

    Zeros in the gap leak into the generator as a grey frame. A shift is a product with a matrix of zeros and ones,
    exact in every precision, and needs no index.
    """
    rows, columns = (_shifts(len(images), size, images) for size in images.shape[2:])
    return rows @ images @ columns.mT


def cutout(images: Tensor) -> Tensor:
    """A square of half the side blanked at a random place, which may reach over the edge."""
    rows, columns = (_outside(len(images), size, images) for size in images.shape[2:])
    return images * torch.maximum(rows.mT, columns)


AUGMENTATIONS: Registry[Callable[[Tensor], Tensor]] = Registry(
    "augmentations", {"colour": colour, "translation": translation, "cutout": cutout}
)


def _shifts(number: int, size: int, like: Tensor) -> Tensor:
    """Return matrices (N, 1, size, size) that shift a column of pixels each by its own random distance."""
    most = round(size * SHIFT)
    distances = torch.randint(-most, most + 1, (number, 1, 1, 1), device=like.device)
    places = torch.arange(size, device=like.device)
    return ((places[:, None] + distances).clamp(0, size - 1) == places).to(like.dtype)


def _outside(number: int, size: int, like: Tensor) -> Tensor:
    """Return (N, 1, 1, size): 1 outside of a random stretch of ``CUT`` of the size, 0 in it."""
    length = round(size * CUT)
    starts = torch.randint(-length // 2, size - length // 2 + 1, (number, 1, 1, 1), device=like.device)
    places = torch.arange(size, device=like.device)
    return ((places < starts) | (places >= starts + length)).to(like.dtype)
