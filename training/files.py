"""Atomic writes: a file is written under another name, flushed to the disk, then renamed."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from training.errors import DiskError


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; on failure the file that was there before is untouched.

    Raises:
        DiskError: the disk is full, read-only or gone.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush_directory(path.parent)
    except OSError as error:
        _remove(partial)
        raise DiskError(f"{path} could not be written ({error.strerror}); what was there before is intact") from error


def append(path: Path, data: bytes) -> None:
    """Add ``data`` to the end of a file; on failure a part of it may be written.

    Raises:
        DiskError: the disk is full, read-only or gone.
    """
    try:
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:
        raise DiskError(f"{path} could not be written ({error.strerror})") from error


def hard_link(path: Path, name: Path) -> None:
    """Give the file at ``path`` a second name, which stays when ``path`` is replaced.

    Raises:
        DiskError: the disk is full, read-only or gone.
    """
    partial = name.with_name(f".{name.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        try:
            os.link(path, partial)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, partial)
        partial.replace(name)
    except OSError as error:
        _remove(partial)
        raise DiskError(f"{name} could not be written ({error.strerror}); {path.name} is intact") from error


def _remove(partial: Path) -> None:
    with suppress(OSError):  # of what kept it from being written: a disk that is read-only or gone
        partial.unlink()


def _flush_directory(path: Path) -> None:
    """Make a rename survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
