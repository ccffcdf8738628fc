"""Any source of images -> one uint8 array and a report on its files.

A source is a folder (any depth) of pictures, a zip of them, an MNIST-type idx file, plain or .gz, or a folder that
holds one. A file that cannot be used is skipped and named in the report.
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

from training.configs import ImagesConfig
from training.errors import InputError

# Files that are read; Pillow cannot read .heic, which phones write, but it should be reported as skipped.
SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
MINIMUM = 16  # images; fewer cannot be learnt from
SMALLEST = 16  # pixels on the shorter side
NESTING = 3  # zips within zips; a zip that holds itself has no end
IDX_MAGIC = b"\x00\x00\x08\x03"  # unsigned bytes in three dimensions: images, rows, columns

Pixels = NDArray[np.uint8]


class Skipped(BaseModel):
    """A file that was not used, and why."""

    file: str
    reason: str


class Report(BaseModel):
    """What a source held; saved as data.json in the run folder."""

    name: str
    source: str
    count: int
    digest: str  # SHA-256 of the array as it enters training
    modes: dict[str, int]  # Pillow's names: L, RGB, RGBA, CMYK, …
    sizes: dict[str, int]  # as found, "300x200"
    skipped: list[Skipped]


@dataclass(frozen=True)
class Dataset:
    """The images, held in memory, with their report."""

    images: Pixels  # (N, C, S, S)
    report: Report


def read(source: Path, config: ImagesConfig) -> Dataset:
    """Read every image of a source, made square as ``config.crop`` says and resized to ``config.size``.

    Raises:
        InputError: the source is not there, is no known kind, or holds fewer than 16 usable images.
    """
    if not source.exists():
        raise InputError(f"--data {source} does not exist")
    entries = list(_entries(source))
    # One array for all of them, filled in place: together with a list of arrays it would hold the images twice.
    images = np.empty((len(entries), config.channels, config.size, config.size), np.uint8)
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata and large photos that it reads all the same
        # Decoding and resizing run without the interpreter's lock.
        results = list(pool.map(lambda entry, to: _prepare(entry, config, to), entries, images))
    used = [i for i, result in enumerate(results) if isinstance(result, _Found)]
    skipped = [
        Skipped(file=entry.name, reason=result)
        for entry, result in zip(entries, results, strict=True)
        if isinstance(result, str)
    ]
    if len(used) < MINIMUM:
        first = f"; {skipped[0].file} was skipped: {skipped[0].reason}" if skipped else ""
        raise InputError(f"{source} holds {len(used)} usable images and training needs {MINIMUM} at least{first}")
    for to, i in enumerate(used):  # close the gaps
        if to != i:
            images[to] = images[i]
    images = images[: len(used)]
    found = [result for result in results if isinstance(result, _Found)]
    report = Report(
        name=source.resolve().name.split(".")[0],
        source=str(source.resolve()),
        count=len(used),
        digest=hashlib.sha256(images.data).hexdigest(),
        modes=_tally(result.mode for result in found),
        sizes=_tally(result.size for result in found),
        skipped=skipped,
    )
    return Dataset(images, report)


@dataclass(frozen=True)
class _Entry:
    name: str
    open: Callable[[], Image.Image]  # may raise whatever Pillow or zipfile raise


@dataclass(frozen=True)
class _Found:
    """What an image was like before it was prepared."""

    mode: str
    size: str


def _tally(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _prepare(entry: _Entry, config: ImagesConfig, to: Pixels) -> _Found | str:
    """Write an image, cropped and resized, to an array (C, S, S); or return why it cannot be used."""
    try:
        image = entry.open()
        mode, size = image.mode, f"{image.width}x{image.height}"
        if min(image.size) < SMALLEST:
            return f"too small ({size})"
        image = _flatten(ImageOps.exif_transpose(image)).convert("L" if config.channels == 1 else "RGB")
    except Image.DecompressionBombError:
        return "too large to be a photo"
    except UnidentifiedImageError:
        return "no image that Pillow can read"
    except Exception as error:  # decoders of broken files raise almost anything
        return f"not readable ({type(error).__name__}: {error})"
    pixels = np.asarray(_square(image, config)).reshape(config.size, config.size, config.channels)
    to[:] = pixels.transpose(2, 0, 1)
    return _Found(mode, size)


def _square(image: Image.Image, config: ImagesConfig) -> Image.Image:
    """Take the central square, or the whole image on white, as transparency is laid on white."""
    size = (config.size, config.size)
    if config.crop == "pad":
        return ImageOps.pad(image, size, Image.Resampling.LANCZOS, color="white")
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _flatten(image: Image.Image) -> Image.Image:
    """Lay transparency on white, and bring 16 bits to 8, which Pillow's convert would clip."""
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
    raise InputError(f"--data {source} is neither a folder of images, nor a zip of them, nor an idx file")


def _folder_entries(source: Path) -> Iterator[_Entry]:
    for path in sorted(source.rglob("*")):
        if _is_picture(path) and path.is_file():
            yield _Entry(str(path.relative_to(source)), partial(Image.open, path))


def _zip_entries(name: str, load: Callable[[], Path | io.BytesIO], depth: int = 1) -> Iterator[_Entry]:
    """Find the pictures of a zip, and of the zips in it; nothing is unpacked to the disk."""
    try:
        archive = zipfile.ZipFile(load())
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:  # RuntimeError: it is encrypted
        yield _Entry(name, partial(_fail, error))
        return
    for member in sorted(archive.namelist()):
        path, inner = PurePosixPath(member), partial(_unpack, archive, member)
        if _is_picture(path):
            yield _Entry(f"{name}/{member}", partial(_open_packed, inner))
        elif path.suffix.lower() == ".zip" and depth < NESTING:
            yield from _zip_entries(f"{name}/{member}", inner, depth + 1)


def _unpack(archive: zipfile.ZipFile, member: str) -> io.BytesIO:
    return io.BytesIO(archive.read(member))


def _open_packed(load: Callable[[], io.BytesIO]) -> Image.Image:
    return Image.open(load())


def _fail(error: Exception) -> Image.Image:
    raise error


def _is_picture(path: PurePath) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")  # those hold a Mac's notes on the file


def _find_idx(source: Path) -> Path | None:
    """Return the idx file that ``source`` is or holds; of several, the training images."""
    if source.is_file():
        return source if _is_idx(source) else None
    found = [path for path in sorted(source.glob("*idx3*")) if _is_idx(path)]
    if len(found) > 1:
        found = [path for path in found if path.name.startswith("train")]
        if len(found) != 1:
            raise InputError(f"--data {source} holds several idx files; name the one to train on")
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
    """Read an idx file: magic, then three big-endian sizes, then the pixels."""
    try:
        with _open(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if len(data) < 16:
        raise InputError(f"{path} is damaged: it ends in its first 16 bytes")
    shape = np.frombuffer(data, ">u4", count=3, offset=4)  # N, H, W
    if len(data) - 16 != int(shape.prod(dtype=np.int64)):
        raise InputError(f"{path} is damaged: it says {shape.tolist()} and holds {len(data) - 16:,} pixels")
    pixels = np.frombuffer(data, np.uint8, offset=16).reshape(*shape.tolist())
    for i, image in enumerate(pixels):
        yield _Entry(f"#{i}", partial(Image.fromarray, image))
