"""Files of images: a PNG, a zip or a tar, written completely or not at all.

A zip or tar is not compressed, as PNGs are already, and has no dates, so that the same images are the same bytes. A tar
is a shard of the WebDataset convention: the files of an image are adjacent and share a name, ``seed0042.png`` and
``seed0042.json``.
"""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

from PIL import Image

from service.formats import png

BLOCK = 512  # bytes, of a tar


class Sample(NamedTuple):
    """An image to write: its name without extension, its PNG, and its metadata for a JSON file."""

    name: str
    png: bytes
    metadata: dict[str, Any]


class Contents(NamedTuple):
    """What is in a file: the names of its images, without extension, and the first PNG."""

    names: list[str]
    first: bytes

    def texts(self) -> dict[str, str] | None:
        """Return the text chunks of the first PNG, or None if that is not complete."""
        if not self.first.endswith(png.END):
            return None
        try:
            with Image.open(io.BytesIO(self.first)) as image:
                return {str(key): text for key, text in image.info.items() if isinstance(text, str)}
        except (OSError, SyntaxError):  # Pillow's, for an invalid PNG
            return None


class Kind(NamedTuple):
    """How a kind of file is written and read; ``read`` raises OSError, or its library's error for a broken file."""

    write: Callable[[IO[bytes], Iterable[Sample]], None]
    read: Callable[[Path], Contents]


def write(path: Path, samples: Iterable[Sample]) -> None:
    """Write ``samples`` to ``path``; after any error, the previous file is unchanged."""
    kind, partial = path.suffix, path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            KINDS[kind].write(file, samples)
            if kind != ".png":  # fsync takes longer than drawing an image
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read(path: Path) -> Contents | None:
    """Return what is in ``path``, or None if it does not exist or is not complete."""
    try:
        return KINDS[path.suffix].read(path)
    except (FileNotFoundError, IndexError, zipfile.BadZipFile, tarfile.ReadError):
        return None


def _write_png(file: IO[bytes], samples: Iterable[Sample]) -> None:
    for sample in samples:
        file.write(sample.png)


def _read_png(path: Path) -> Contents:
    return Contents([path.stem], path.read_bytes())


def write_zip(file: IO[bytes], samples: Iterable[Sample]) -> None:
    """Write a zip with a PNG for each sample, not compressed again."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for sample in samples:
            archive.writestr(zipfile.ZipInfo(f"{sample.name}.png"), sample.png)


def _read_zip(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return Contents([name.removesuffix(".png") for name in names], archive.read(names[0]))


def _write_tar(file: IO[bytes], samples: Iterable[Sample]) -> None:
    for sample in samples:
        file.write(_member(f"{sample.name}.png", sample.png))
        file.write(_member(f"{sample.name}.json", json.dumps(sample.metadata).encode()))
    file.write(bytes(2 * BLOCK))


def _member(name: str, data: bytes) -> bytes:
    """Return a tar member (POSIX.1-1988, ustar); the standard library's tarfile takes four times as long."""
    before = name.encode().ljust(100, b"\0") + b"0000644\0" + 2 * b"0000000\0" + b"%011o\0" % len(data) + b"%011o\0" % 0
    after = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(64) + 2 * b"0000000\0"
    checksum = sum(before) + 8 * ord(" ") + sum(after)
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK, b"\0") + data + bytes(-len(data) % BLOCK)


def _read_tar(path: Path) -> Contents:
    with tarfile.open(path, "r:") as archive:
        pngs = [member for member in archive if member.name.endswith(".png")]
        first = archive.extractfile(pngs[0])
        return Contents([member.name.removesuffix(".png") for member in pngs], first.read() if first else b"")


# The kinds of file, by extension.
KINDS = {".png": Kind(_write_png, _read_png), ".zip": Kind(write_zip, _read_zip), ".tar": Kind(_write_tar, _read_tar)}
