"""Do the figures of ``evaluate`` fall where the eye says they should? ``python -m benchmarks.judges FOLDER``

Real images are altered as generators alter them, and each figure is taken of the altered ones against other real ones.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image, ImageEnhance, ImageFilter

from training import images
from training.configs import ImagesConfig
from training.images import Pixels
from training.metrics import distances, efficientnet
from training.metrics.artefacts import Artefacts
from training.metrics.features import Features, random_conv
from training.metrics.wasserstein import SlicedWasserstein

Alteration = Callable[[Image.Image, np.random.RandomState], Image.Image]
Measure = Callable[[Pixels], dict[str, float]]


def warp(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Bend the image along a wave: all its parts are there, and out of place."""
    array, (height, width) = np.asarray(image), image.size[::-1]
    y, x = np.mgrid[:height, :width].astype(float)
    phase, angle = random.rand(2) * 2 * np.pi
    wave = height / 10 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / (height / 2) + phase)
    rows = np.clip(y + wave, 0, height - 1).round().astype(int)
    columns = np.clip(x + wave, 0, width - 1).round().astype(int)
    return Image.fromarray(array[rows, columns])


def blur(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Blur by a fortieth of the side."""
    return image.filter(ImageFilter.GaussianBlur(image.width / 40))


def brighten(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Raise every pixel by 12 levels, which the eye does not notice."""
    return image.point(lambda level: min(level + 12, 255))


def swap(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Swap the upper and the lower half."""
    array = np.asarray(image)
    return Image.fromarray(np.roll(array, len(array) // 2, axis=0))


def fade(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Take half of the contrast."""
    return ImageEnhance.Contrast(image).enhance(0.5)


ALTERATIONS: dict[str, Alteration] = {
    "warped": warp,
    "blurred": blur,
    "12 levels brighter": brighten,
    "halves swapped": swap,
    "half the contrast": fade,
}


def main(
    data: Annotated[Path, typer.Argument(help="A folder of images.")],
    size: Annotated[int, typer.Option()] = 64,
    number: Annotated[int, typer.Option(help="Images in each set.")] = 250,
) -> None:
    """Print a Markdown table: a row an alteration, a column a figure."""
    torch.set_num_threads(1)
    pixels = images.read(data, ImagesConfig(size=size, channels=3)).images
    order = np.random.RandomState(0).permutation(len(pixels))[: 2 * number]
    reference, others = pixels[order[: len(order) // 2]], pixels[order[len(order) // 2 :]]
    seen = (over(features, reference) for features in networks(size))
    measures: list[Measure] = [*seen, SlicedWasserstein(reference), Artefacts(reference)]
    rows = {"untouched": others, **{name: altered(others, change) for name, change in ALTERATIONS.items()}}
    rows["eight, repeated"] = others[np.arange(len(others)) % 8]
    for i, (name, candidate) in enumerate(rows.items()):
        figures = {key: value for measure in measures for key, value in measure(candidate).items()}
        if i == 0:
            print("| |", " | ".join(figures), "|\n|---|" + "---|" * len(figures))
        print(f"| {name} |", " | ".join(f"{value:.3g}" for value in figures.values()), "|", flush=True)


def networks(size: int) -> list[Features]:
    """Return the networks whose features are compared."""
    return [features for features in (efficientnet.load(), random_conv(3, size)) if features]


def over(features: Features, reference: Pixels) -> Measure:
    """Return the measure over a network's features."""
    real = features(reference)

    def measure(candidate: Pixels) -> dict[str, float]:
        seen = features(candidate)
        return {
            f"{features.name} kd ×1000": 1000 * distances.kernel_with_error(real, seen)[0],
            "fd": distances.frechet(real, seen),
            "recall": distances.recall(real, seen),
            "coverage": distances.coverage(real, seen),
        }

    def named(candidate: Pixels) -> dict[str, float]:
        return {
            name if features.name in name else f"{features.name} {name}": value
            for name, value in measure(candidate).items()
        }

    return named


def altered(pixels: Pixels, change: Alteration) -> Pixels:
    """Return images (N, 3, S, S), each changed by its own draw."""
    random = np.random.RandomState(0)
    changed = [np.asarray(change(Image.fromarray(image.transpose(1, 2, 0)), random)) for image in pixels]
    return np.stack(changed).transpose(0, 3, 1, 2)


if __name__ == "__main__":
    typer.run(main)
