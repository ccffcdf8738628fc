"""The models on disk, ``<folder>/<name>/<version>/model.onnx``: found, checked and opened."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from service.contract import (
    DIGEST_FILE,
    INPUT,
    MODEL_FILE,
    Card,
    ContractError,
    ModelFile,
    Precision,
    as_line,
    leads_inside,
    read_model,
)
from service.engine.providers import registry as providers
from service.errors import ServiceError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = logging.getLogger("bentoml.nelumbo.library")

Determinism = Literal["exact", "approximate"]

README = "README.md"  # what a person says of a model, beside its file
MAX_README = 2**16


class UnknownModelError(LookupError):
    """No such model is served."""


@dataclass(frozen=True, eq=False)
class Model:
    """A generator that is ready to run."""

    card: Card
    digest: str
    provider: str
    session: "InferenceSession"
    readme: str | None = None

    @cached_property
    def ref(self) -> str:
        """Name and version as a client writes them: ``digits@1``."""
        return f"{self.card.name}@{self.card.version}"

    @property
    def deterministic(self) -> Determinism:
        """What a seed's bytes can be trusted to be: docs/determinism.md says what each word promises."""
        exact = providers.find(self.provider).exact and self.card.rewrite is None
        return "exact" if exact else "approximate"

    def run(self, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the images of ``latents``: (N, Z) float32 -> (N, H, W, C) uint8."""
        shape = self.card.height, self.card.width, self.card.channels
        return providers.find(self.provider).run(self.session, {INPUT: latents}, shape)


class Library:
    """The models that are served; never changed, only replaced by another.

    Attributes:
        refused: a sentence for each model that was there and is not served.
    """

    def __init__(self, models: Iterable[Model], refused: Sequence[str] = ()) -> None:
        self.refused = refused
        self._models = sorted(models, key=lambda model: (model.card.name, -model.card.version))
        self._by_ref = {model.card.name: model for model in reversed(self._models)}  # the newest is set last
        self._by_ref |= {model.ref: model for model in self._models}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, the newest first."""
        return [model.card.version for model in self if model.card.name == name]

    def find(self, ref: str | None) -> Model:
        """Return the model called ``digits@1``, the newest ``digits``, or the first; raises UnknownModelError."""
        if ref is None:
            return self._models[0]
        try:
            return self._by_ref[ref]
        except KeyError:
            raise UnknownModelError(", ".join(model.ref for model in self._models)) from None


def find_folders(folder: Path) -> list[Path]:
    """Return the folders under ``folder`` that hold a model, be it good or bad; raises ServiceError if none does."""
    # A folder with a dot is an export that is under way, or was killed.
    found = sorted(path.parent for path in folder.glob(f"[!.]*/[!.]*/{MODEL_FILE}"))
    if not found:
        raise ServiceError(f"no model in {folder}/<name>/<version>/{MODEL_FILE}; export one, or say --models FOLDER")
    return found


def require_sound(folder: Path) -> None:
    """Find out, without running any, whether a model under ``folder`` is as it was written; raises ServiceError."""
    refused = []
    for path in find_folders(folder):
        try:
            _read(path)
            return
        except ContractError as error:
            refused.append(str(error))
    raise _none_can_be_served(folder, refused)


def _none_can_be_served(folder: Path, refused: Sequence[str]) -> ServiceError:
    return ServiceError(f"none of the models in {folder} can be served: {'; '.join(refused)}")


def load_library(
    folder: Path, provider: str, slots: int = 1, max_batch: int = 1, served: Library | None = None
) -> Library:
    """Open and warm up every good model under ``folder``, and log why others are bad.

    ``slots`` batches of up to ``max_batch`` images run at once. What is ``served`` and has not changed is taken over;
    where a model has become bad, the served one stays.

    Raises:
        ServiceError: when the provider is not there, or no model can be served.
    """
    providers.require(provider)
    known = {model.ref: model for model in served or ()}
    models, refused = [], []
    for path in find_folders(folder):
        old = known.get(f"{path.parent.name}@{path.name}")
        try:
            if old and _is_unchanged(path, old):
                models.append(_with_readme(path, old))
            else:
                models.append(_open(path, provider, slots, max_batch))
        except ContractError as error:
            refused.append(str(error))
            models += [old] if old else []
    if not models:
        raise _none_can_be_served(folder, refused)
    for sentence in refused:
        logger.error("Refused a model: %s", sentence)
    return Library(models, refused)


def _is_unchanged(folder: Path, model: Model) -> bool:
    line = f"{model.digest}  {_chosen(folder, model.provider).name}"
    try:
        return line in (folder / DIGEST_FILE).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return False


def _with_readme(folder: Path, model: Model) -> Model:
    """Return a model with what is said of it now, which its digest does not cover."""
    readme = _read_readme(folder)
    return model if readme == model.readme else replace(model, readme=readme)


def _chosen(folder: Path, provider: str) -> Path:
    """Return a version's file that was rewritten for the provider, or else the one that all can run."""
    rewritten = folder / providers.find(provider).rewritten_file()
    return rewritten if rewritten.exists() else folder / MODEL_FILE


def _read(folder: Path, name: str = MODEL_FILE) -> ModelFile:
    file = read_model(folder, name)
    said = file.card.name, str(file.card.version)
    if said != (folder.parent.name, folder.name):
        raise ContractError(f"{folder} holds {'@'.join(said)}; name its folders so: {'/'.join(said)}")
    return file


def _open(folder: Path, provider: str, slots: int, max_batch: int) -> Model:
    path = _chosen(folder, provider)
    file = _read(folder, path.name)
    card = file.card
    # A file does not run in a precision that it was not measured in.
    precision = card.rewrite.precision if card.rewrite else Precision.FLOAT32
    try:
        session = providers.open_session(file.data, provider, precision=precision, slots=slots, max_batch=max_batch)
        model = Model(card, file.digest, provider, session, _read_readme(folder))
        _warm_up(model, path, max_batch)
    except (ServiceError, ContractError):
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common ancestor but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ContractError(f"{path} does not run: {as_line(reason)}") from error
    logger.info("Serving %s with %s from %s, sha256 %s", model.ref, provider, path.name, file.digest)
    return model


def _warm_up(model: Model, path: Path, largest: int) -> None:
    """Run each size of batch that doubles up to the largest: memory is laid out, kernels are chosen or compiled.

    A model that some size breaks is told from the others here, not when the first of them is asked for.
    """
    card = model.card
    for batch in sorted({*(1 << i for i in range(largest.bit_length())), largest}):
        images = model.run(np.zeros((batch, card.latent_dim), np.float32))
        if images.shape != (batch, card.height, card.width, card.channels):
            raise ContractError(f"{path} drew an array of {images.shape}, against its card")


def _read_readme(folder: Path) -> str | None:
    """Return what stands in a model's README.md, at most its first 64 KiB, or None where there is none.

    Clients read it, so that a link to anything else on this machine is none.
    """
    if not (leads_inside(folder, README) and (folder / README).is_file()):
        return None
    try:
        with (folder / README).open("rb") as file:
            return file.read(MAX_README).decode(errors="replace")
    except OSError:
        return None
