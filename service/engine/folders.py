"""The folders of models, ``<name>/<version>/``: found, and checked before any model is opened."""

import re
from collections.abc import Sequence
from pathlib import Path

from service.contract import MODEL_FILE, Card, ContractError, Refusal
from service.contract.files import MAX_README, README, read_digests, read_inside
from service.engine import default
from service.engine.checker import Checker
from service.engine.providers import registry as providers
from service.engine.verdicts import Verdict
from service.errors import ServiceError

FRONT_MATTER = re.compile(r"\A---\n.*?^---\n\s*", re.DOTALL | re.MULTILINE)


def find_folders(folder: Path) -> list[Path]:
    """Return the folders that hold a model, good or bad: ``folder``, its subfolders, or theirs.

    So a folder of models can be given, that of one model, or of one version.

    Raises:
        ServiceError: there is none.
    """
    # A folder with a dot is an export that is under way, or was killed.
    depths = (MODEL_FILE, f"[!.]*/{MODEL_FILE}", f"[!.]*/[!.]*/{MODEL_FILE}")
    found = sorted(path.parent for depth in depths for path in folder.glob(depth))
    if not found:
        raise ServiceError(f"no model in {folder}/<name>/<version>/{MODEL_FILE}; export one, or say --models FOLDER")
    return found


def require_sound(folder: Path, provider: str, checker: Checker, wanted: str | None = None) -> str:
    """Check all models under ``folder``, and return the reference of the default model.

    What is found is shared with the workers as it is found, where the server's processes share a directory.

    Raises:
        ServiceError: none of the models can be served, or not the one that is wanted as the default.
    """
    folders = find_folders(folder)
    refs = default.candidates(folders, wanted)
    sound: list[str] = []
    refused: list[ContractError] = []
    undecided = {ref_of(path) for path in folders}
    for file, verdict in checker.check([chosen_file(path, provider) for path in folders]):
        ref = ref_of(file.parent)
        undecided.discard(ref)
        try:
            card_at(file, verdict)
            sound.append(ref)
        except ContractError as error:
            refused.append(error)
        default.choose(refs, sound, undecided)
    if not sound:
        raise none_can_be_served(folder, refused)
    if chosen := default.choose(refs, sound, ()):
        return chosen
    raise ServiceError(f"the default model {wanted} cannot be served; {folder} has {', '.join(sorted(sound))}")


def none_can_be_served(folder: Path, refused: Sequence[ContractError]) -> ServiceError:
    """Return the error for a folder without any sound model."""
    return ServiceError(f"none of the models in {folder} can be served: {'; '.join(error.line for error in refused)}")


def ref_of(folder: Path) -> str:
    """Return how clients name the model in a folder ``<name>/<version>``: ``digits@1``."""
    return f"{folder.parent.name}@{folder.name}"


def stated_digest(file: Path) -> str:
    """Return what the digest file says of a file; nothing where it cannot be read."""
    try:
        return read_digests(file.parent).get(file.name, "")
    except ContractError:
        return ""


def chosen_file(folder: Path, provider: str) -> Path:
    """Return a version's file that was rewritten for the provider, or else the one that all can run."""
    rewritten = folder / providers.find(provider).rewritten_file()
    return rewritten if rewritten.exists() else folder / MODEL_FILE


def card_at(file: Path, verdict: Verdict) -> Card:
    """Return the card of a checked file, which names the folders that it lies in; raises ContractError."""
    card = verdict.card(str(file))
    folder, said = file.parent, (card.name, str(card.version))
    if said != (folder.parent.name, folder.name):
        sentence = f"{folder} holds {'@'.join(said)}; name its folders so: {'/'.join(said)}"
        raise ContractError(Refusal.WRONG_FOLDER, sentence)
    return card


def read_readme(folder: Path) -> str | None:
    """Return the first 64 KiB of a model's README.md, or None where there is none; clients read it.

    The lines between two ``---`` at its start are left out: the Hugging Face Hub reads them, and nobody else.
    """
    try:
        text = read_inside(folder, README, MAX_README, cut=True).decode(errors="replace")
    except ContractError:
        return None
    return FRONT_MATTER.sub("", text)
