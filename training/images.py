"""Read a source of images into one uint8 array, with a report on its files.

A source is a folder of images (searched recursively), a zip of images, an MNIST-type idx file, plain or .gz, or a
folder that contains one. A file that cannot be used is skipped and listed in the report.
"""

import gzip
import hashlib
import io
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel

from training import classes as image_classes
from training.classes import Labels
from training.configs import ImagesConfig
from training.errors import InputError

# Suffixes of image files. Pillow cannot read .heic, which phones write; such files are reported as skipped.
SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
MINIMUM = 16  # images
SMALLEST = 16  # pixels on the shorter side
MAX_ZIP_DEPTH = 3  # nested zips; a zip can contain itself
IDX_MAGIC = b"\x00\x00\x08\x03"  # unsigned bytes in three dimensions: images, rows, columns

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

    @property
    def identity(self) -> tuple[str, str, tuple[str, ...]]:
        """What two sources with the same images and classes have in common."""
        return self.digest, self.labels, tuple(self.classes)


@dataclass(frozen=True)
class Dataset:
    """The images in memory, their labels if they have classes, and the report on them."""

    images: Pixels  # (N, C, S, S)
    report: Report
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
    if not source.exists():
        raise InputError(f"--data {source} does not exist")
    entries = list(_entries(source))
    files = [_path_inside(source, entry) for entry in entries]
    named = image_classes.read(source, classes, files) if classes else None
    images, results = _prepare_all(entries, config, named)
    used = [i for i, result in enumerate(results) if isinstance(result, _Original)]
    skipped = [
        Skipped(file=entry.name, reason=result)
        for entry, result in zip(entries, results, strict=True)
        if isinstance(result, str)
    ]
    if len(used) < MINIMUM:
        first = f"; {skipped[0].file} was skipped: {skipped[0].reason}" if skipped else ""
        raise InputError(f"{source} has {len(used)} usable images, and training needs at least {MINIMUM}{first}")
    for to, i in enumerate(used):  # remove the gaps of skipped images
        if to != i:
            images[to] = images[i]
    images = images[: len(used)]
    found = [result for result in results if isinstance(result, _Original)]
    labels, counts = image_classes.number([named[i] or "" for i in used]) if named else (None, {})
    report = Report(
        name=source.resolve().name.split(".")[0],
        source=str(source.resolve()),
        count=len(used),
        digest=hashlib.sha256(images.data).hexdigest(),
        modes=_tally(result.mode for result in found),
        sizes=_tally(result.size for result in found),
        skipped=skipped,
        classes=counts,
        labels=hashlib.sha256(labels.data).hexdigest() if labels is not None else "",
        folders=image_classes.count_folders(files),
    )
    return Dataset(images, report, labels)


def _prepare_all(
    entries: "list[_Entry]", config: ImagesConfig, named: list[str | None] | None
) -> "tuple[Pixels, list[_Original | str]]":
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


def _path_inside(source: Path, entry: "_Entry") -> PurePosixPath:
    """Return an entry's path without the name of the zip that all are in."""
    name = entry.name if source.is_dir() else entry.name.removeprefix(f"{source.name}/")
    return PurePosixPath(*PurePath(name).parts)


@dataclass(frozen=True)
class _Entry:
    name: str
    open: Callable[[], Image.Image]  # raises anything that Pillow or zipfile raise


@dataclass(frozen=True)
class _Original:
    """The original mode and size of an image."""

    mode: str
    size: str


def _tally(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _prepare(entry: _Entry, config: ImagesConfig, to: Pixels) -> _Original | str:
    """Write an image, square and resized, to an array (C, S, S); return why if it cannot be used."""
    try:
        image = entry.open()
        mode, size = image.mode, f"{image.width}x{image.height}"
        if min(image.size) < SMALLEST:
            return f"too small ({size})"
        image = _flatten(ImageOps.exif_transpose(image)).convert("L" if config.channels == 1 else "RGB")
    except Image.DecompressionBombError:
        return "more pixels than Pillow's limit"
    except UnidentifiedImageError:
        return "not an image that Pillow can read"
    except Exception as error:  # decoders raise almost anything for damaged files
        return f"not readable ({type(error).__name__}: {error})"
    pixels = np.asarray(_square(image, config)).reshape(config.size, config.size, config.channels)
    to[:] = pixels.transpose(2, 0, 1)
    return _Original(mode, size)


def _square(image: Image.Image, config: ImagesConfig) -> Image.Image:
    """Crop to the central square, or pad with white."""
    size = (config.size, config.size)
    if config.crop == "pad":
        return ImageOps.pad(image, size, Image.Resampling.LANCZOS, color="white")
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _flatten(image: Image.Image) -> Image.Image:
    """Composite transparency on white, and scale 16 bits to 8; Pillow's convert would clip them."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image


def _entries(source: Path) -> Iterator[_Entry]:
    if idx := _find_idx(source):
        return _idx_entries(idx)
    if source.is_dir():
        return _folder_entries(source)
    if zipfile.is_zipfile(source):
        return _zip_entries(source.name, lambda: source)
    raise InputError(f"--data {source} is neither a folder of images, nor a zip of images, nor an idx file")


def _folder_entries(source: Path) -> Iterator[_Entry]:
    for path in sorted(source.rglob("*")):
        if _is_picture(path) and path.is_file():
            yield _Entry(str(path.relative_to(source)), partial(Image.open, path))


def _zip_entries(name: str, load: Callable[[], Path | io.BytesIO], depth: int = 1) -> Iterator[_Entry]:
    """Yield the images of a zip and of nested zips; nothing is written to disk."""
    try:
        archive = zipfile.ZipFile(load())
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:  # RuntimeError: encrypted
        yield _Entry(name, partial(_fail, error))
        return
    for member in sorted(archive.namelist()):
        path, inner = PurePosixPath(member), partial(_read_member, archive, member)
        if _is_picture(path):
            yield _Entry(f"{name}/{member}", partial(_open_packed, inner))
        elif path.suffix.lower() == ".zip" and depth < MAX_ZIP_DEPTH:
            yield from _zip_entries(f"{name}/{member}", inner, depth + 1)


def _read_member(archive: zipfile.ZipFile, member: str) -> io.BytesIO:
    return io.BytesIO(archive.read(member))


def _open_packed(load: Callable[[], io.BytesIO]) -> Image.Image:
    return Image.open(load())


def _fail(error: Exception) -> Image.Image:
    raise error


def _is_picture(path: PurePath) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")  # ._ files are macOS metadata


def _find_idx(source: Path) -> Path | None:
    """Return the idx file that ``source`` is or contains; of several, that of the training images."""
    if source.is_file():
        return source if _is_idx(source) else None
    found = [path for path in sorted(source.glob("*idx3*")) if _is_idx(path)]
    if len(found) > 1:
        found = [path for path in found if path.name.startswith("train")]
        if len(found) != 1:
            raise InputError(f"--data {source} contains several idx files; pass the path of one")
    return found[0] if found else None


def _open(path: Path) -> gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _is_idx(path: Path) -> bool:
    try:
        with _open(path) as file:
            return file.read(4) == IDX_MAGIC
    except (OSError, EOFError, zlib.error):
        return False


def _idx_entries(path: Path) -> Iterator[_Entry]:
    """Yield the images of an idx file: magic number, three big-endian sizes, pixels."""
    try:
        with _open(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if len(data) < 16:
        raise InputError(f"{path} is damaged: its header is shorter than 16 bytes")
    shape = np.frombuffer(data, ">u4", count=3, offset=4)  # N, H, W
    if len(data) - 16 != int(shape.prod(dtype=np.int64)):
        raise InputError(f"{path} is damaged: its header says {shape.tolist()}, and it has {len(data) - 16:,} pixels")
    pixels = np.frombuffer(data, np.uint8, offset=16).reshape(*shape.tolist())
    for i, image in enumerate(pixels):
        yield _Entry(f"#{i}", partial(Image.fromarray, image))
