"""A directory that the processes of one server share, and that is gone when the server ends.

They share which model files passed their check (``verdicts``), which model a worker ran when it crashed (``crashes``),
and which one is the default (``default``).
"""

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "NELUMBO_STATE"  # the directory, for the workers


def make() -> Path:
    """Make the directory, unless this process was started by one that did; its workers inherit the variable."""
    if (there := folder()) is not None:
        return there
    made = Path(tempfile.mkdtemp(prefix="nelumbo-"))
    os.environ[VARIABLE] = str(made)
    atexit.register(_remove, made, os.getpid())
    return made


def folder() -> Path | None:
    """Return the directory, or None where no process has made one."""
    path = os.environ.get(VARIABLE)
    return Path(path) if path and os.path.isdir(path) else None


def write(path: Path, text: str) -> None:
    """Write a small file that others see whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_once(name: str, text: str) -> str:
    """Write a small file that no other process has written yet; returns what is in it from now on."""
    if (there := folder()) is None:
        return text
    path, partial = there / name, there / f".{name}.{os.getpid()}"
    partial.write_text(text, encoding="utf-8")
    with contextlib.suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()
    return path.read_text(encoding="utf-8")


def _remove(made: Path, pid: int) -> None:
    if os.getpid() == pid:  # and not a process that was forked
        shutil.rmtree(made, ignore_errors=True)
