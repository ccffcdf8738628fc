"""Read a source of images into one uint8 array, with a report on its files.

A source is a folder of images (searched recursively, linked folders included), a zip of images, an MNIST-type idx file,
plain or .gz, or a folder that contains one. A file that cannot be used is skipped and listed in the report.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from training import classes as image_classes
from training import duplicates, sources
from training.classes import Labels
from training.configs import ImagesConfig
from training.decode import NotUsableError, Original, decode, formats, open_image
from training.errors import InputError
from training.sources import Entry

MINIMUM = 16  # images
CUT = 0.5  # share of an image outside the square from which on it is reported

Pixels = NDArray[np.uint8]


class Skipped(BaseModel):
    """A file that was skipped, and why."""

    file: str
    reason: str


class Report(BaseModel):
    """The contents of a source; saved as data.json in the run folder."""

    name: str
    source: str
    count: int
    digest: str  # SHA-256 of the uint8 array
    modes: dict[str, int]  # number of images per Pillow mode: L, RGB, RGBA, CMYK, …
    sizes: dict[str, int]  # number of images per original size, "300x200"
    skipped: list[Skipped]
    classes: dict[str, int] = {}  # number of images per class, in the order of their labels
    labels: str = ""  # SHA-256 of the labels, if there are classes
    folders: int = 0  # of the first level, which ``--classes folders`` makes classes of
    duplicates: dict[str, str] = {}  # file -> the earlier one that it repeats
    cut_off: dict[str, float] = {}  # file -> share of it outside the square, where that is half or more
    transparent: int = 0  # images with transparency, which are on images.background now

    @property
    def identity(self) -> tuple[str, str, tuple[str, ...]]:
        """What two sources with the same images and classes have in common."""
        return self.digest, self.labels, tuple(self.classes)


@dataclass(frozen=True)
class Dataset:
    """The images in memory, their labels if they have classes, and the report on them."""

    images: Pixels  # (N, C, S, S)
    report: Report
    distinct: NDArray[np.int64]  # (M,) indices of the images that repeat no earlier one
    labels: Labels | None = None  # (N,), from 0


def read(source: Path, config: ImagesConfig, classes: str | None = None) -> Dataset:
    """Read every image of a source, cropped or padded to a square and resized to ``config.size``.

    Args:
        source: a folder, a zip or an idx file.
        config: size, channels and crop.
        classes: where the class of an image is found, see :func:`training.classes.read`; None for no classes.

    Raises:
        InputError: the source does not exist, is of no known kind, or has fewer than 16 usable images; or ``classes``
            does not apply to it.
    """
    formats()  # before there are threads
    entries = read_entries(source)
    files = [_path_inside(source, entry) for entry in entries]
    named = image_classes.read(source, classes, files) if classes else None
    images, results = _prepare_all(entries, config, named)
    dataset = _collect(source, entries, images, results)
    used = [i for i, result in enumerate(results) if isinstance(result, Original)]
    labels, counts = image_classes.number([named[i] or "" for i in used]) if named else (None, {})
    labelled = {
        "classes": counts,
        "labels": hashlib.sha256(labels.data).hexdigest() if labels is not None else "",
        "folders": image_classes.count_folders(files),
    }
    return Dataset(dataset.images, dataset.report.model_copy(update=labelled), dataset.distinct, labels)


def _collect(source: Path, entries: list[Entry], images: Pixels, results: list[Original | str]) -> Dataset:
    """Remove the gaps of skipped images from the array, and report on all."""
    names = [entry.name for entry in entries]
    skipped = [Skipped(file=name, reason=why) for name, why in zip(names, results, strict=True) if isinstance(why, str)]
    used = [i for i, result in enumerate(results) if isinstance(result, Original)]
    if len(used) < MINIMUM:
        first = f"; {skipped[0].file} was skipped: {skipped[0].reason}" if skipped else ""
        raise InputError(f"{source} has {len(used)} usable images, and training needs at least {MINIMUM}{first}")
    for to, i in enumerate(used):
        if to != i:
            images[to] = images[i]
    images = images[: len(used)]
    repeated = duplicates.find(images)
    originals = [result for result in results if isinstance(result, Original)]
    report = Report(
        name=source.resolve().name.split(".")[0],
        source=str(source.resolve()),
        count=len(used),
        digest=hashlib.sha256(images.data).hexdigest(),
        modes=_tally(original.mode for original in originals),
        sizes=_tally(original.size for original in originals),
        skipped=skipped,
        duplicates={names[used[i]]: names[used[first]] for i, first in repeated.items()},
        cut_off={names[i]: one.cut_off for i, one in zip(used, originals, strict=True) if one.cut_off >= CUT},
        transparent=sum(original.transparent for original in originals),
    )
    return Dataset(images, report, np.setdiff1d(np.arange(len(images)), list(repeated)))


def _prepare_all(
    entries: list[Entry], config: ImagesConfig, named: list[str | None] | None
) -> tuple[Pixels, list[Original | str]]:
    """Return an array with a place for each entry, and what each was, or why it has to be skipped."""
    # One array, filled in place: a list of arrays would double the memory.
    images = np.empty((len(entries), config.channels, config.size, config.size), np.uint8)
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata and large photos, but reads them
        # Decoding and resizing release the interpreter lock.
        results = list(pool.map(lambda entry, to: _prepare(entry, config, to), entries, images))
    if named:
        results = [result if name else "has no class" for result, name in zip(results, named, strict=True)]
    return images, results


def _path_inside(source: Path, entry: Entry) -> PurePosixPath:
    """Return an entry's path without the name of the zip that all are in."""
    name = entry.name if source.is_dir() else entry.name.removeprefix(f"{source.name}/")
    return PurePosixPath(*PurePath(name).parts)


def read_entries(source: Path) -> list[Entry]:
    """Return the images of a source, none of them opened; raises InputError where there are none."""
    if not source.exists():
        raise InputError(f"--data {source} does not exist")
    if not (entries := list(sources.entries(source))):
        raise InputError(f"{source} holds no images; they end in {', '.join(sorted(sources.SUFFIXES))}")
    return entries


def read_one(path: Path, config: ImagesConfig) -> Pixels:
    """Return one image file, square and resized, (C, S, S); raises InputError."""
    image = np.empty((config.channels, config.size, config.size), np.uint8)
    result = _prepare(Entry(path.name, partial(open_image, path)), config, image)
    if isinstance(result, str):
        raise InputError(f"{path} cannot be used: {result}")
    return image


def _tally(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _prepare(entry: Entry, config: ImagesConfig, to: Pixels) -> Original | str:
    """Write an image to an array (C, S, S); return why if it cannot be used."""
    try:
        return decode(entry.open(), config, to)
    except NotUsableError as error:
        return str(error)
    except Image.DecompressionBombError:
        return "more pixels than Pillow's limit"
    except Exception as error:  # decoders raise almost anything for damaged files
        return f"not readable ({type(error).__name__}: {error})"
