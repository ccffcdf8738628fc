"""Measure checkerboard (grid) and frame (rim) artefacts of upsampling and augmentation, relative to real images.

Both figures are about 1 for real images and for good samples; from 1.5 on, the artefact is visible.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.images import Pixels
from training.pictures import to_pixels

Spectrum = NDArray[np.float64]
LINES = 3  # outermost lines of pixels that may be a frame
LEVEL = 1.0  # of 255, added to numerator and denominator: a plain background has no differences
ROUNDING = 1 / 12  # variance of the rounding to levels, added to the spectrum as a noise floor for plain images


class Artefacts:
    """Grid and rim of a set of images, relative to a reference."""

    def __init__(self, reference: Pixels) -> None:
        self._grid, self._rim = grid_energy(reference), rim_contrast(reference)

    def __call__(self, candidate: Pixels) -> dict[str, float]:
        """Return ``grid`` and ``rim`` of images (N, C, S, S) uint8, of the reference's size."""
        return {"grid": grid_energy(candidate) / self._grid, "rim": rim_contrast(candidate) / self._rim}


def grid(images: Tensor, reference: Tensor) -> float:
    """Grid energy relative to real images; both (N, C, S, S) in [-1, 1]."""
    return grid_energy(to_pixels(images)) / grid_energy(to_pixels(reference))


def rim(images: Tensor, reference: Tensor) -> float:
    """Rim contrast relative to real images; both (N, C, S, S) in [-1, 1]."""
    return rim_contrast(to_pixels(images)) / rim_contrast(to_pixels(reference))


def grid_energy(images: Pixels) -> float:
    """Return the energy at the frequencies of a grid over that of their neighbours, on average over these frequencies.

    A layer that doubles its map can leave a pattern whose period is 2 pixels in the image, or 4 or 8 where others
    double it further. Its energy is at multiples of S/2, S/4 and S/8 along both axes; natural images have no more there
    than around it (Odena et al. 2016 show the patterns; Durall et al. 2020 and others find them in spectra).

    Args:
        images: (N, C, S, S) uint8.
    """
    spectrum = _power(images)
    size = len(spectrum)
    step = size // 8 if size >= 32 and size % 8 == 0 else size // 4
    ring = min(3, step // 2)
    places = range(0, size // 2 + 1, step)
    # The spectrum of a real-valued image is symmetric about 0, so that half of its columns suffice.
    ratios = [_excess(spectrum, v, u, ring) for v in range(0, size, step) for u in places if u or v]
    return float(np.mean(ratios))


def _power(images: Pixels) -> Spectrum:
    """Return the mean power spectrum (S, S) of images, with a Hann window against edge effects."""
    size = images.shape[-1]
    values = images.astype(np.float32)
    values -= values.mean(axis=(2, 3), keepdims=True)
    window = np.outer(*[np.hanning(size + 1)[:-1]] * 2)
    power = (np.abs(np.fft.fft2(values * window)) ** 2).mean(axis=(0, 1))
    spectrum: Spectrum = power + ROUNDING * np.square(window).sum()
    return spectrum


def _excess(spectrum: Spectrum, v: int, u: int, ring: int) -> float:
    """Return the energy at a frequency over the geometric mean of those at a distance of ``ring`` around it.

    Energy falls as a power of the frequency, so that the geometric mean over a ring is what its centre should have.
    """
    size = len(spectrum)
    offsets = range(-ring, ring + 1)
    around = [(y, x) for y in offsets for x in offsets if max(abs(y), abs(x)) == ring]
    neighbours = [spectrum[(v + y) % size, (u + x) % size] for y, x in around]
    return float(spectrum[v, u] / np.exp(np.mean(np.log(neighbours))))


def rim_contrast(images: Pixels) -> float:
    """Return how abruptly the outermost lines of pixels differ from the next, over lines inside.

    Each of the four sides is averaged along itself, which keeps a frame and evens out what the image shows. Of the
    three steps from the outermost line inwards the largest counts, and so of any three neighbouring ones inside.

    Args:
        images: (N, C, S, S) uint8.
    """
    values = images.astype(np.float32)
    across = values[..., LINES:-LINES].mean(axis=3)  # (N, C, S) of rows
    down = values[:, :, LINES:-LINES].mean(axis=2)  # (N, C, S) of columns
    profiles = np.concatenate([across, across[..., ::-1], down, down[..., ::-1]])  # each begins at one of four sides
    steps = np.abs(np.diff(profiles, axis=2))  # (4N, C, S-1)
    largest = np.lib.stride_tricks.sliding_window_view(steps, LINES, axis=2).max(axis=3)
    half = largest.shape[2] // 2
    rim, inside = largest[..., 0].mean(), largest[..., LINES : half + 1].mean()
    return float((rim + LEVEL) / (inside + LEVEL))
