"""The files of a source of images: a folder, a zip or an idx file, each with what opens it."""

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from PIL import Image

from training.decode import NotUsableError, open_image
from training.errors import InputError

# Suffixes of the formats that are read. A file without one is tried, too.
SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg"}
    | {".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
# Pictures of other kinds are listed as skipped, with the reason; all other files are ignored.
NOT_READ = {
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai", ".pdf"), "a drawing of lines: export it as PNG"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"), "raw: develop it as JPEG"),
    **dict.fromkeys((".psd", ".xcf", ".kra"), "layers: export it as PNG"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "a film: export its frames"),
}
MAX_ZIP_DEPTH = 3  # nested zips; a zip can contain itself
IDX_MAGIC = b"\x00\x00\x08\x03"  # unsigned bytes in three dimensions: images, rows, columns


@dataclass(frozen=True)
class Entry:
    """A file that is, or may be, an image."""

    name: str
    open: Callable[[], Image.Image]  # raises anything that Pillow or zipfile raise


def entries(source: Path) -> Iterator[Entry]:
    """Return the files of a source; raises InputError where it is of no known kind, or a damaged idx file."""
    if idx := _find_idx(source):
        return _idx_entries(idx)
    if source.is_dir():
        return _folder_entries(source)
    if zipfile.is_zipfile(source):
        return _zip_entries(source.name, lambda: source)
    raise InputError(f"--data {source} is neither a folder of images, nor a zip of images, nor an idx file")


def _folder_entries(source: Path) -> Iterator[Entry]:
    for path in sorted(_files(source)):
        relative = path.relative_to(source)
        if _is_picture(relative) and path.is_file():
            yield Entry(str(relative), _opener(path, partial(open_image, path)))


def _files(source: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those below it; each folder once, by however many links it is reached."""
    seen: set[str] = set()
    for folder, below, files in os.walk(source, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            below.clear()
            continue
        seen.add(here)
        below.sort(key=lambda name: (os.path.islink(os.path.join(folder, name)), name))
        yield from (Path(folder, name) for name in files)


def _zip_entries(name: str, load: Callable[[], Path | io.BytesIO], depth: int = 1) -> Iterator[Entry]:
    """Yield the images of a zip and of nested zips; nothing is written to disk."""
    try:
        archive = zipfile.ZipFile(load())
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:  # RuntimeError: encrypted
        yield Entry(name, partial(_fail, error))
        return
    for member in sorted(archive.namelist()):
        path, inner = PurePosixPath(member), partial(_read_member, archive, member)
        if _is_picture(path) and not member.endswith("/"):
            yield Entry(f"{name}/{member}", _opener(path, partial(_open_packed, inner)))
        elif path.suffix.lower() == ".zip" and depth < MAX_ZIP_DEPTH:
            yield from _zip_entries(f"{name}/{member}", inner, depth + 1)


def _read_member(archive: zipfile.ZipFile, member: str) -> io.BytesIO:
    return io.BytesIO(archive.read(member))


def _open_packed(load: Callable[[], io.BytesIO]) -> Image.Image:
    return open_image(load())


def _opener(path: PurePath, load: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    """Return what opens a file, or raises why files of its suffix are not read."""
    reason = NOT_READ.get(path.suffix.lower())
    return load if reason is None else partial(_fail, NotUsableError(reason))


def _fail(error: Exception) -> Image.Image:
    raise error


def _is_picture(path: PurePath) -> bool:
    """Return whether a file may be a picture, by its name: of a known suffix, or without one and not hidden."""
    if path.name.startswith("._"):  # macOS metadata
        return False
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or suffix in NOT_READ or (not suffix and not any(p.startswith(".") for p in path.parts))


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


def _idx_entries(path: Path) -> Iterator[Entry]:
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
        yield Entry(f"#{i}", partial(Image.fromarray, image))
