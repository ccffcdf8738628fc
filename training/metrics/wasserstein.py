"""Sliced Wasserstein distance between the patches of two sets of images, at each scale."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from training.images import Pixels
from training.metrics.features import in_batches

COARSEST = 16  # pixels; the last level of the pyramid
PATCH, PATCHES = 7, 32  # pixels a side, patches an image
DIRECTIONS = 128
KERNEL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16  # Burt and Adelson 1983


class SlicedWasserstein:
    """The distance ×10³ of 7×7 patches from those of a reference, at each level of the Laplacian pyramid.

    After Karras et al. 2018, section 5, but with a quarter of their patches and directions, and with both sets
    normalised by the mean and deviation of the reference; a set that is too dark would go unnoticed by its own.
    """

    def __init__(self, reference: Pixels) -> None:
        self.levels = list(_levels(reference.shape[-1]))
        patches = self._pyramid(reference)
        self.means = [part.mean(dim=(0, 2), keepdim=True) for part in patches]  # (1, C, 1)
        self.deviations = [part.std(dim=(0, 2), keepdim=True).clamp(min=1e-8) for part in patches]
        self.projections = [self._project(part, level) for level, part in enumerate(patches)]

    def __call__(self, candidate: Pixels) -> dict[str, float]:
        """Return the distance of images (N, C, S, S), as many as in the reference, at each level and on average."""
        projections = [self._project(part, level) for level, part in enumerate(self._pyramid(candidate))]
        distances = [
            float((ours - theirs).abs().mean()) * 1000
            for ours, theirs in zip(self.projections, projections, strict=True)
        ]
        named = {f"swd-{size}": distance for size, distance in zip(self.levels, distances, strict=True)}
        return {"swd": sum(distances) / len(distances)} | named

    def _pyramid(self, pixels: Pixels) -> list[Tensor]:
        last = len(self.levels) - 1
        return [_patches(pixels, level, last=level == last) for level in range(last + 1)]

    def _project(self, patches: Tensor, level: int) -> Tensor:
        """Return patches (M, C, 49) projected on random directions, sorted: (128, M).

        The mean absolute difference of two sorted projections is their Wasserstein-1 distance along a direction.
        """
        points = ((patches - self.means[level]) / self.deviations[level]).flatten(1)  # (M, D)
        directions = torch.randn(DIRECTIONS, points.shape[1], generator=torch.Generator().manual_seed(0))
        directions /= directions.norm(dim=1, keepdim=True)
        return torch.sort(directions @ points.T, dim=1).values


def _levels(size: int) -> Iterator[int]:
    """Yield the size of each level, from the whole image down to 16 pixels."""
    yield size
    while size % 2 == 0 and size // 2 >= COARSEST:
        size //= 2
        yield size


def _patches(pixels: Pixels, level: int, *, last: bool) -> Tensor:
    """Return patches (32 N, C, 49) of images (N, C, S, S) at one level of the pyramid, from fixed random places."""
    detail = in_batches(lambda images: laplacian(images, level, last=last), pixels)  # (N, C, S', S')
    n, channels, _, size = detail.shape
    windows = detail.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (N, C, P, P, 7, 7), a view
    places = torch.randint(size - PATCH + 1, (2, n, PATCHES), generator=torch.Generator().manual_seed(level))
    return windows[torch.arange(n)[:, None], :, places[0], places[1]].reshape(-1, channels, PATCH * PATCH)


def laplacian(images: Tensor, level: int, *, last: bool) -> Tensor:
    """Return one level of the Laplacian pyramid of images (N, C, S, S); the last level is the low-pass residual."""
    for _ in range(level):
        images = _blur(images)[:, :, ::2, ::2]
    return images if last else images - _enlarge(_blur(images)[:, :, ::2, ::2])


def _blur(images: Tensor) -> Tensor:
    channels = images.shape[1]
    kernel = torch.outer(KERNEL, KERNEL).expand(channels, 1, 5, 5)
    return functional.conv2d(functional.pad(images, (2, 2, 2, 2), "reflect"), kernel, groups=channels)


def _enlarge(images: Tensor) -> Tensor:
    n, channels, height, width = images.shape
    spread = images.new_zeros(n, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = images * 4  # three pixels in four are zero before the blur
    return _blur(spread)
