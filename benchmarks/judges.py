"""Do the figures of ``evaluate`` fall where the eye says they should? ``python -m benchmarks.judges FOLDER``

Real images are altered as generators alter them, and each figure is taken of the altered ones against other real ones.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from training import images
from training.configs import ImagesConfig
from training.health import diversity
from training.images import Pixels
from training.metrics import efficientnet
from training.metrics.errors import Figure
from training.metrics.memorisation import COPY, Matches, TrainingSet
from training.metrics.tables import METRICS, Measure, Reals
from training.pictures import to_images

Alteration = Callable[[Image.Image, np.random.RandomState], Image.Image]


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


def unchanged(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Change nothing."""
    return image


def shift(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Move by a thirtieth of the side."""
    return ImageChops.offset(image, image.width // 30)


def zoom(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Cut off a twentieth of each side."""
    edge = image.width // 20
    return ImageOps.crop(image, edge).resize(image.size, Image.Resampling.LANCZOS)


def mirror(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Swap left and right."""
    return ImageOps.mirror(image)


def recolour(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Turn the hues by a third."""
    hue, *others = image.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda level: (level + 85) % 256), *others)).convert("RGB")


def vary(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Draw other hues, light, contrast, place and size: what a collapsed generator makes of one picture."""
    hue, *others = image.convert("HSV").split()
    angle = random.randint(256)
    turned = Image.merge("HSV", (hue.point(lambda level: (level + angle) % 256), *others)).convert("RGB")
    lit = ImageEnhance.Brightness(ImageEnhance.Contrast(turned).enhance(random.uniform(0.5, 1.5))).enhance(
        random.uniform(0.5, 1.5)
    )
    moved = ImageChops.offset(lit, *(int(by) for by in random.randint(-image.width // 8, image.width // 8 + 1, 2)))
    edge = random.randint(image.width // 8)
    return ImageOps.crop(moved, int(edge)).resize(image.size, Image.Resampling.LANCZOS)


COPIES: dict[str, Alteration] = {
    "shifted by a thirtieth": shift,
    "a tenth cut off": zoom,
    "mirrored": mirror,
    "other colours": recolour,
}
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
    draws: Annotated[int, typer.Option(help="Pairs of sets over which errors are compared with deviations.")] = 0,
) -> None:
    """Print Markdown tables: altered images, altered copies of training images, and errors beside deviations."""
    torch.set_num_threads(1)
    pixels = images.read(data, ImagesConfig(size=size, channels=3)).images
    pixels = pixels[np.random.RandomState(0).permutation(len(pixels))]
    number = min(number, len(pixels) // 2)
    show_altered(data, pixels[:number], pixels[number : 2 * number])
    show_copies(pixels[:1000])
    if draws:
        show_errors(data, np.split(pixels[: 2 * number * draws], 2 * draws))


def show_altered(data: Path, reference: Pixels, others: Pixels) -> None:
    """Print a row an alteration, a column a figure with its error."""
    measure = measure_of(data, reference)
    rows = {"untouched": others, **{name: altered(others, change) for name, change in ALTERATIONS.items()}}
    rows["eight, repeated"] = others[np.arange(len(others)) % 8]
    rows["one, in many colours"] = altered(others[np.zeros(len(others), int)], vary)
    for i, (name, candidate) in enumerate(rows.items()):
        figures = {**measure(candidate), "diversity (log)": diversity_of(candidate, reference)}
        if i == 0:
            head(figures)
        print(f"| {name} |", " | ".join(cell(*figure) for figure in figures.items()), "|", flush=True)


def diversity_of(candidate: Pixels, reference: Pixels) -> float:
    """Return the diversity of the training log: of 64 images, relative to as many real ones."""
    return diversity(*(to_images(torch.from_numpy(part[:64])) for part in (candidate, reference)))


def measure_of(data: Path, reference: Pixels) -> Measure:
    """Return all measures of ``evaluate`` that compare sets, as one."""
    measures = [measure for metric in METRICS.values() if (measure := metric(Reals(data, reference, labels=None)))]
    return lambda pixels: {name: value for measure in measures for name, value in measure(pixels).items()}


def head(names: Iterable[str]) -> None:
    """Print the first two lines of a table."""
    print("\n| |", " | ".join(names), "|\n|---|" + "---|" * len(list(names)))


def cell(name: str, value: float) -> str:
    """Return a figure and its error; kernel distances ×1000."""
    factor = 1000 if name.endswith("-kd") else 1
    error = f" ± {factor * value.error:.2g}" if isinstance(value, Figure) else ""
    return f"{factor * value:.3g}{error}"


def show_copies(pixels: Pixels) -> None:
    """Print which share of altered training images counts as copies: of the first hundred, among all."""
    objects = efficientnet.load()
    sets = {"copies": TrainingSet(pixels, mirror=True)}
    if objects:
        sets[f"{objects.name}-copies"] = TrainingSet(pixels, mirror=False, describe=objects)
    head(sets)
    own = {name: training.match_own(np.arange(100)) for name, training in sets.items()}
    print("| other training images |", " | ".join(share_of(matches) for matches in own.values()), "|")
    for name, change in {"untouched": unchanged, **COPIES, **ALTERATIONS}.items():
        copies = altered(pixels[:100], change)
        cells = [share_of(training.match(copies)) for training in sets.values()]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


def share_of(matches: Matches) -> str:
    """Return the share of copies, and the quartiles of what decides about them."""
    quartiles = np.quantile(matches.relative, [0.25, 0.5, 0.75])
    return f"{(matches.relative < COPY).mean():.2f} ({', '.join(f'{value:.2f}' for value in quartiles)})"


def show_errors(data: Path, sets: list[Pixels]) -> None:
    """Print each figure's deviation over pairs of sets that share no image, and the error that one pair gives it."""
    pairs = list(zip(sets[::2], sets[1::2], strict=True))
    for label, change in {"untouched": unchanged, "half the contrast": fade}.items():
        figures = [measure_of(data, reference)(altered(other, change)) for reference, other in pairs]
        head(figures[0])
        spread = {name: np.std([drawn[name] for drawn in figures], ddof=1) for name in figures[0]}
        print(f"| {label}: deviation |", " | ".join(f"{value:.3g}" for value in spread.values()), "|")
        errors = {name: np.mean([getattr(drawn[name], "error", np.nan) for drawn in figures]) for name in spread}
        print("| mean error |", " | ".join(f"{value:.3g}" for value in errors.values()), "|", flush=True)


def altered(pixels: Pixels, change: Alteration) -> Pixels:
    """Return images (N, 3, S, S), each changed by its own draw."""
    random = np.random.RandomState(0)
    changed = [np.asarray(change(Image.fromarray(image.transpose(1, 2, 0)), random)) for image in pixels]
    return np.stack(changed).transpose(0, 3, 1, 2)


if __name__ == "__main__":
    typer.run(main)
