"""The default model: one version, chosen when the server starts, for all its processes and until it ends."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from service.engine import state

FILE = "default"  # in the directory that the processes of a server share
UNDECIDED = "?"  # in the place of a reference, while a model that comes first is still being checked


def candidates(folders: Iterable[Path], wanted: str | None) -> list[str]:
    """Return the references that may become the default, by preference: by name, each with its newest version first.

    Args:
        folders: ``<name>/<version>`` of each model.
        wanted: ``digits`` or ``digits@1``, where the settings name the default.
    """
    found = sorted((path.parent.name, -int(path.name)) for path in folders if path.name.isdecimal())
    refs = [(name, f"{name}@{-version}") for name, version in found]
    return [ref for name, ref in refs if wanted in (None, name, ref)]


def choose(refs: Sequence[str], sound: Collection[str], undecided: Collection[str]) -> str:
    """Return the first of ``refs`` that is sound, or the one that another process of the server has chosen.

    Returns:
        UNDECIDED while one that comes before it is being checked; an empty string where none is sound.
    """
    if (already := chosen()) is not None:
        return already
    ref = first(refs, sound, undecided)
    return state.write_once(FILE, ref) if ref in sound else ref


def first(refs: Iterable[str], sound: Collection[str], undecided: Collection[str]) -> str:
    """Return the first of ``refs`` that is sound, UNDECIDED if one before it is being checked, or an empty string."""
    for ref in refs:
        if ref in sound:
            return ref
        if ref in undecided:
            return UNDECIDED
    return ""


def chosen() -> str | None:
    """Return what a process of this server has chosen, or None."""
    folder = state.folder()
    if folder is None or not (folder / FILE).exists():
        return None
    return (folder / FILE).read_text(encoding="utf-8")
