"""models/<name>/<version>/: a version appears whole, with its digest, or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

from export.errors import ExportError, InputError
from service.contract import DIGEST_FILE, MODEL_FILE, digest_of


def next_version(models: Path, name: str) -> int:
    """Return the number after the highest version of ``name``, from 1."""
    taken = [int(path.name) for path in (models / name).glob("*") if path.name.isdecimal()]
    return max(taken, default=0) + 1


def refuse_taken(folder: Path) -> None:
    """Raise InputError if the version is there: what was published keeps its pictures."""
    if folder.exists():
        raise InputError(f"{folder} is there already; leave out --version to make the next one")


def refuse_added(name: str, folder: Path) -> None:
    """Raise InputError if a version folder holds such a file: it, too, keeps its pictures."""
    if (folder / name).exists():
        raise InputError(f"{folder / name} is there already; delete it to make it again")


def store(data: bytes, folder: Path) -> None:
    """Write ``model.onnx`` and its digest (``sha256sum -c`` reads it) into a new version folder.

    Raises:
        InputError: the version is there already.
        ExportError: the disk would not take it; nothing is left behind.
    """
    refuse_taken(folder)
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        _write(partial / MODEL_FILE, data)
        _write(partial / DIGEST_FILE, f"{digest_of(data)}  {MODEL_FILE}\n".encode())
        partial.chmod(0o755)  # mkdtemp's 0700 would hide the model from a server that is another user
        partial.rename(folder)
    except OSError as error:
        raise ExportError(f"{folder} could not be written ({error.strerror})") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def add(data: bytes, name: str, folder: Path) -> None:
    """Put one more file into a version folder, and its line into the digest file; each appears whole or not at all.

    Raises:
        InputError: the file is there already.
        ExportError: the disk would not take it; what was there before is intact.
    """
    refuse_added(name, folder)
    digests = folder / DIGEST_FILE
    try:
        others = [line for line in digests.read_text(encoding="ascii").splitlines() if line.split()[-1:] != [name]]
        _replace(digests, "".join(f"{line}\n" for line in [*others, f"{digest_of(data)}  {name}"]).encode())
        _replace(folder / name, data)
    except OSError as error:
        raise ExportError(f"{folder / name} could not be written ({error.strerror})") from error


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
