"""The names that a server has served a model by, for all its processes.

A name that was served goes on meaning what it meant until a new version is loaded. A worker that starts while that
version is being checked has served nothing itself, and must not answer 503 where the others draw.
"""

import contextlib
from collections.abc import Collection

from service.engine import state

PREFIX = "served-"  # of files in the directory that the processes share


def served() -> set[str]:
    """Return the names that a process of this server has served."""
    folder = state.folder()
    return {path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*")} if folder else set()


def note(names: Collection[str]) -> None:
    """Tell the other processes that these names are served."""
    with contextlib.suppress(OSError):  # of a full disk; the others then answer that the name is being loaded
        for name in names:
            state.write_once(f"{PREFIX}{name}", "")
