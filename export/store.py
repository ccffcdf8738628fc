"""Write models/<name>/<version>/ atomically: a version is complete, with its digest, or absent."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from export.errors import ExportError, InputError
from service.contract import DIGEST_FILE, MODEL_FILE, digest_of


def next_version(models: Path, name: str) -> int:
    """Return the number after the highest version of ``name``, from 1."""
    taken = [int(path.name) for path in (models / name).glob("*") if path.name.isdecimal()]
    return max(taken, default=0) + 1


def refuse_existing_version(folder: Path) -> None:
    """Raise InputError if the version exists; a published version is never replaced."""
    if folder.exists():
        raise InputError(f"{folder} already exists; omit --version to write the next one")


def refuse_existing_file(name: str, folder: Path) -> None:
    """Raise InputError if a version folder already has the file; it is never replaced."""
    if (folder / name).exists():
        raise InputError(f"{folder / name} already exists; delete it to write it again")


def store(data: bytes, folder: Path) -> None:
    """Write ``model.onnx`` and its digest (``sha256sum -c`` reads it) into a new version folder.

    Raises:
        InputError: the version already exists.
        ExportError: the write failed; no partial version is left.
    """
    refuse_existing_version(folder)
    write_folder({MODEL_FILE: data, DIGEST_FILE: digests_of({MODEL_FILE: data})}, folder)


def digests_of(files: Mapping[str, bytes]) -> bytes:
    """Return the digest file of these files."""
    return "".join(f"{digest_of(data)}  {name}\n" for name, data in files.items()).encode()


def write_folder(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a new folder of these files; raises ExportError, and leaves no part of it then."""
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        for name, data in files.items():
            _write(partial / name, data)
        partial.chmod(0o755)  # mkdtemp sets 0700, but the server may run as another user
        partial.rename(folder)
    except OSError as error:
        raise ExportError(f"{folder} could not be written ({error.strerror})") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def add(data: bytes, name: str, folder: Path) -> None:
    """Add a file to a version folder and its line to the digest file; each is replaced atomically.

    Raises:
        InputError: the file already exists.
        ExportError: the write failed; the existing files are intact.
    """
    refuse_existing_file(name, folder)
    digests = folder / DIGEST_FILE
    try:
        others = [line for line in digests.read_text(encoding="ascii").splitlines() if line.split()[-1:] != [name]]
        _replace(digests, "".join(f"{line}\n" for line in [*others, f"{digest_of(data)}  {name}"]).encode())
        _replace(folder / name, data)
    except OSError as error:
        raise ExportError(f"{folder / name} could not be written ({error.strerror})") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file of any name atomically; raises ExportError."""
    try:
        _replace(path, data)
    except OSError as error:
        raise ExportError(f"{path} could not be written ({error.strerror})") from error


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        _write(partial, data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
