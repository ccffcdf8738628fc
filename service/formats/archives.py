"""The files that pictures are kept in, many or one, each written whole or not at all.

A zip or tar is not compressed, as PNGs are already, and carries no dates: the same pictures are the same bytes. A tar
is a shard of the WebDataset convention: each picture's files stand together and share a name, ``seed0042.png`` and
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

BLOCK = 512  # of a tar


class Sample(NamedTuple):
    """A picture to keep: its name without extension, its PNG, and what is told of it as JSON."""

    name: str
    png: bytes
    told: dict[str, Any]


class Contents(NamedTuple):
    """What a file holds: the names of its pictures, without extension, and the first of their PNGs."""

    names: list[str]
    first: bytes

    def texts(self) -> dict[str, str] | None:
        """Return the text chunks of the first picture, or None where that is not a whole PNG."""
        if not self.first.endswith(png.chunk(b"IEND", b"")):
            return None
        try:
            with Image.open(io.BytesIO(self.first)) as image:
                return {str(key): text for key, text in image.info.items() if isinstance(text, str)}
        except (OSError, SyntaxError):  # Pillow's, for a PNG that is none
            return None


class Kind(NamedTuple):
    """How a kind of file is written and read; ``read`` raises OSError or what its library calls a broken file."""

    write: Callable[[IO[bytes], Iterable[Sample]], None]
    read: Callable[[Path], Contents]


def write(path: Path, samples: Iterable[Sample]) -> None:
    """Write ``samples`` to ``path``; whatever stops that, the file that was there before is untouched."""
    kind, partial = path.suffix, path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            KINDS[kind].write(file, samples)
            if kind != ".png":  # a flush for every picture would take longer than to draw it
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read(path: Path) -> Contents | None:
    """Return what ``path`` holds, or None where there is no such file, or no whole one."""
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
        return Contents([Path(name).stem for name in names], archive.read(names[0]))


def _write_tar(file: IO[bytes], samples: Iterable[Sample]) -> None:
    for sample in samples:
        file.write(_member(f"{sample.name}.png", sample.png))
        file.write(_member(f"{sample.name}.json", json.dumps(sample.told).encode()))
    file.write(bytes(2 * BLOCK))


def _member(name: str, data: bytes) -> bytes:
    """Return a file as it stands in a tar (POSIX.1-1988, ustar); tarfile takes four times as long."""
    before = name.encode().ljust(100, b"\0") + b"0000644\0" + 2 * b"0000000\0" + b"%011o\0" % len(data) + b"%011o\0" % 0
    after = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(64) + 2 * b"0000000\0"
    checksum = sum(before) + 8 * ord(" ") + sum(after)
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK, b"\0") + data + bytes(-len(data) % BLOCK)


def _read_tar(path: Path) -> Contents:
    with tarfile.open(path, "r:") as archive:
        pictures = [member for member in archive if member.name.endswith(".png")]
        first = archive.extractfile(pictures[0])
        return Contents([Path(member.name).stem for member in pictures], first.read() if first else b"")


# By extension; a new kind of file is a line here.
KINDS = {".png": Kind(_write_png, _read_png), ".zip": Kind(write_zip, _read_zip), ".tar": Kind(_write_tar, _read_tar)}
