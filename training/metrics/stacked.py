"""Stacked MNIST: images with a digit in each of three channels, 1000 modes in all, to measure mode collapse."""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training import images
from training.configs import ImagesConfig
from training.files import write_atomically
from training.images import Pixels
from training.metrics.lenet import Classifier

NUMBER = 60_000  # images of the training set: as many as MNIST has, 60 per mode


def write(digits: Path, out: Path) -> None:
    """Write a training set: a zip of 28×28 images with a random digit in each channel.

    Raises:
        InputError: the digits cannot be read.
        DiskError: the zip cannot be written.
    """
    dataset = images.read(digits, ImagesConfig(size=28, channels=1))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, pixels in enumerate(stack(dataset.images, NUMBER)):
            with archive.open(f"{i:05d}.png", "w") as file:
                Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "PNG")
    write_atomically(out, buffer.getvalue())


def stack(digits: Pixels, number: int) -> Pixels:
    """Return images (number, 3, S, S) with a random digit of (N, 1, S, S) in each channel."""
    stacks: Pixels = digits[np.random.RandomState(0).randint(len(digits), size=(number, 3)), 0]
    return stacks


def modes(classifier: Classifier, pixels: Pixels) -> dict[str, float]:
    """Return the number of modes that images (N, 3, S, S) cover, and the divergence from a uniform distribution.

    The divergence is the Kullback-Leibler divergence Σ p log(p / q) of the modes' shares, with q uniform, in nats
    (Metz et al. 2017, section 3.3.1; with 26,000 samples in Lin et al. 2018, section 4.2).
    """
    probabilities = [classifier.probabilities(pixels[:, [channel]]) for channel in range(3)]  # 3 × (N, K)
    classes = probabilities[0].shape[1]
    numbers = np.ravel_multi_index([p.argmax(axis=1) for p in probabilities], (classes,) * 3)  # (N,)
    shares: NDArray[np.float64] = np.bincount(numbers, minlength=classes**3) / len(pixels)
    covered = shares[shares > 0]
    return {"stacked-modes": float(len(covered)), "stacked-kl": float((covered * np.log(covered * classes**3)).sum())}
