"""Do all letters of one latent look as if one hand had drawn them? Weight, slant and width, correlated over letters.

    python -m benchmarks.one_hand MODEL --data letters.zip

The ink of an image is its brightness. Its **weight** is the amount of ink; its **slant** is how far the ink moves
sideways for each pixel that it is higher; its **width** is how far it spreads sideways. Letters differ in each: an M is
heavier than an I. But in a typeface whose M is heavier than other M's, all letters are. The figure is the correlation
of two letters over typefaces, on average over all pairs of letters: 1 where one hand draws them all. It is measured on
the latents of a model, on real fonts, whose files have the same name in the folder of every letter, and on latents that
are shuffled for each letter, which gives what chance does.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from training import seeds
from training.errors import InputError
from training.images import Pixels
from training.metrics.samples import Sampler, open_sampler

Floats = NDArray[np.float64]
MEASURES = ("weight", "slant", "width")


def measure(pixels: Pixels) -> Floats:
    """Return weight, slant and width (N, 3) of images (N, S, S), bright on black."""
    ink = pixels.astype(np.float64) / 255
    weight = ink.sum(axis=(1, 2)) + 1e-9
    y, x = np.mgrid[: ink.shape[1], : ink.shape[2]]
    share = ink / weight[:, None, None]
    mean_x, mean_y = ((share * axis).sum(axis=(1, 2))[:, None, None] for axis in (x, y))
    across, down = x - mean_x, y - mean_y  # (N, S, S) each, from the ink's centre
    slant = -(share * across * down).sum(axis=(1, 2)) / ((share * down**2).sum(axis=(1, 2)) + 1e-9)
    width = np.sqrt((share * across**2).sum(axis=(1, 2)))
    return np.stack([weight, slant, width], axis=1)


def agreement(values: Floats) -> float:
    """Return the mean correlation of two letters, over hands; ``values`` are (hands, letters)."""
    correlations: Floats = np.asarray(np.corrcoef(values.T))
    letters = len(correlations)
    return float((correlations.sum() - np.trace(correlations)) / (letters * (letters - 1)))


def draw(sampler: Sampler, number: int) -> Pixels:
    """Draw the latents of seeds 0 … number-1 in every class: (number, K, S, S)."""
    latents, _ = seeds.draw(range(number), sampler.latent_dim, 0)
    labels = range(len(sampler.classes))
    drawn = [sampler.render_all(latents, np.full(number, label, np.int64))[:, 0] for label in labels]
    return np.stack(drawn, axis=1)


def read_fonts(data: Path, classes: Sequence[str]) -> Pixels:
    """Return the images of the fonts that have all classes, (fonts, K, S, S)."""
    found: dict[str, dict[str, Pixels]] = defaultdict(dict)
    for path, image in _images(data):
        found[path.stem][path.parent.name] = np.asarray(image.convert("L"))
    whole = [font for font in found.values() if font.keys() >= set(classes)]
    if len(whole) < 2:
        raise InputError(f"{data} has no file names that are in the folders of all classes")
    return np.stack([[font[name] for name in classes] for font in whole])


def _images(data: Path) -> Iterator[tuple[PurePosixPath, Image.Image]]:
    if data.is_dir():
        yield from ((PurePosixPath(path), Image.open(path)) for path in sorted(data.rglob("*.png")))
        return
    with zipfile.ZipFile(data) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".png"):
                yield PurePosixPath(name), Image.open(io.BytesIO(archive.read(name)))


def measure_all(pixels: Pixels) -> Floats:
    """Return the measures of images (hands, letters, S, S), as (3, hands, letters)."""
    return np.stack([measure(hand) for hand in pixels]).transpose(2, 0, 1)


def main(
    model: Annotated[Path, typer.Argument(help="A model.onnx or a run folder, with classes.")],
    data: Annotated[Path, typer.Option(help="Folder or zip of fonts: a folder a letter, a file name a font.")],
    number: Annotated[int, typer.Option("--latents", min=8, help="How many latents are drawn in every class.")] = 400,
) -> None:
    """Print how much the letters of one latent, of one font, and of shuffled latents agree."""
    sampler = open_sampler(model)
    drawn, real = measure_all(draw(sampler, number)), measure_all(read_fonts(data, sampler.classes))
    random = np.random.RandomState(0)
    shuffled = np.stack([[random.permutation(letter) for letter in one.T] for one in drawn]).transpose(0, 2, 1)
    table = Table("mean correlation of two letters", *MEASURES, box=None, padding=(0, 2))
    for name, values in ((f"{number} latents", drawn), (f"{real.shape[1]} fonts", real), ("shuffled", shuffled)):
        table.add_row(name, *(f"{agreement(one):.3f}" for one in values))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
