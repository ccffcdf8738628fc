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


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
