"""The models on disk, ``<folder>/<name>/<version>/model.onnx``: found, checked and served."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.contract import ContractError, Refusal
from service.contract.encoder import ENCODER_FILE
from service.engine import crashes, default, encoders, names
from service.engine.checker import Checker
from service.engine.folders import (
    chosen_file,
    find_folders,
    none_can_be_served,
    read_readme,
    ref_of,
    stated_digest,
)
from service.engine.model import Model, open_model
from service.engine.providers import registry as providers
from service.engine.verdicts import Verdict

logger = logging.getLogger("bentoml.nelumbo.library")

NICE = 5  # nice value of the check while the server serves


class UnknownModelError(LookupError):
    """No such model is served; the message lists those that are."""


class NotReadyError(Exception):
    """Nothing can be drawn now; the message says why."""


class Library:
    """The models that are served; never changed, only replaced by another.

    Attributes:
        refused: the error of each model that was there and is not served.
        withdrawn: a sentence for each of these that was served until workers crashed of it.
        default: the reference of the default model, which may have been removed; or :data:`default.UNDECIDED`.
        awaited: names and references of models that are there and still being loaded; and the encoders of some that
            are served, as ``cats@3/encoder.onnx``.
    """

    def __init__(
        self,
        models: Iterable[Model],
        refused: Sequence[ContractError] = (),
        withdrawn: Sequence[str] = (),
        default: str | None = None,
        awaited: Collection[str] = (),
    ) -> None:
        self.refused = refused
        self.withdrawn = withdrawn
        self.awaited = awaited
        self._models = sorted(models, key=lambda model: (model.card.name, -model.card.version))
        first = self._models[0].ref if self._models else ""
        self.default = first if default is None else default
        self._by_ref = {model.card.name: model for model in reversed(self._models)}  # the newest is set last
        self._by_ref |= {model.ref: model for model in self._models}

    def __len__(self) -> int:
        return len(self._models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, the newest first."""
        return [model.card.version for model in self if model.card.name == name]

    def find(self, ref: str | None) -> Model:
        """Return the model called ``digits@1``, the newest ``digits``, or the default.

        Raises:
            UnknownModelError: there is none of this name, or the default model was removed.
            NotReadyError: it is still being loaded.
        """
        if ref is None and self.default == default.UNDECIDED:
            raise NotReadyError("the default model is being loaded")
        if ref in self.awaited:
            raise NotReadyError(f"{ref} is being loaded")
        try:
            return self._by_ref[self.default if ref is None else ref]
        except KeyError:
            raise UnknownModelError(", ".join(model.ref for model in self._models)) from None

    def require_encoder(self, model: Model) -> None:
        """Raise NotReadyError while the encoder of a model is being loaded."""
        if _encoder_of(model.ref) in self.awaited:
            raise NotReadyError(f"the encoder of {model.ref} is being loaded")


def load_library(
    folder: Path,
    provider: str,
    slots: int = 1,
    max_batch: int = 1,
    served: Library | None = None,
    *,
    checker: Checker | None = None,
    publish: Callable[[Library], None] | None = None,
    wanted: str | None = None,
) -> Library:
    """Check, open and warm up every good model under ``folder``, and log why others are bad.

    Args:
        folder: of ``<name>/<version>/model.onnx``.
        provider: what runs them.
        slots: how many batches run at once.
        max_batch: most images in a run.
        served: what is served now. What has not changed is taken over; where a model has become bad, it stays.
        checker: what checks files, and remembers those that it has seen.
        publish: called with what can be served so far, whenever that is one more.
        wanted: the default model, as the settings name it.

    Raises:
        ServiceError: when the provider is not there, or no model can be served.
    """
    providers.require(provider)
    crashes.charge()
    loading = Loading(folder, provider, served, wanted)
    checker = checker or Checker(max_batch)
    for file, verdict in checker.check([*loading.encoders, *loading.unchecked], nice=NICE if served else 0):
        loading.add(file, verdict, slots, max_batch)
        if publish and (so_far := loading.library()):
            publish(so_far)
    if (library := loading.library()) is None:
        raise none_can_be_served(folder, loading.refused)
    return library


class Loading:
    """What has become of the models in a folder so far.

    Attributes:
        unchecked: the models' files that have to be checked.
        encoders: those of their encoders, which are checked first, so that a model is served with its encoder.
        refused: the error of each model that cannot be served.
    """

    def __init__(self, folder: Path, provider: str, served: Library | None, wanted: str | None = None) -> None:
        """Take over what is served and has not changed; raises ServiceError where no model is there."""
        folders = find_folders(folder)
        self._candidates = default.candidates(folders, wanted)
        self._refs = default.candidates(folders, None)
        self._before = names.served() | {model.card.name for model in served or ()}
        self._default = served.default if served else default.UNDECIDED
        known = {model.ref: model for model in served or ()}
        self._provider = provider
        self._models: dict[Path, Model] = {}
        self.unchecked: list[Path] = []
        self.encoders = [path / ENCODER_FILE for path in folders if (path / ENCODER_FILE).exists()]
        self._encoder_verdicts: dict[Path, Verdict] = {}
        self.refused: list[ContractError] = []
        self._withdrawn: list[str] = []
        for path in folders:
            file = chosen_file(path, provider)
            digest = stated_digest(file)
            old = known.get(ref_of(path))
            if why := crashes.withdrawn(digest):
                self._withdrawn.append(why)
                self._refuse(ContractError(Refusal.WITHDRAWN, f"{file}: {why}"))
                continue
            if old and crashes.withdrawn(old.digest) is None:
                encoder = old.encoder if path / ENCODER_FILE in self.encoders else None
                self._models[path] = _updated(old, readme=read_readme(path), encoder=encoder)
            if not (old and old.digest == digest):
                self.unchecked.append(file)
        order = {ref: place for place, ref in enumerate(self._candidates)}
        self.unchecked.sort(key=lambda file: order.get(ref_of(file.parent), len(order)))  # the default model first
        self._undecided = {ref_of(file.parent) for file in self.unchecked}

    def add(self, file: Path, verdict: Verdict, slots: int, max_batch: int) -> None:
        """Open a file that was checked, or note why not."""
        if file.name == ENCODER_FILE:
            self._encoder_verdicts[file.parent] = verdict
            self._attach_encoder(file.parent)
            return
        self._undecided.discard(ref_of(file.parent))
        try:
            self._models[file.parent] = open_model(file, verdict, self._provider, slots, max_batch)
            self._attach_encoder(file.parent)
        except ContractError as error:
            self._refuse(error)

    def _attach_encoder(self, folder: Path) -> None:
        """Give the model in a folder its encoder, once both are checked."""
        if (model := self._models.get(folder)) and (verdict := self._encoder_verdicts.get(folder)):
            encoder = encoders.open_checked(folder / ENCODER_FILE, verdict, model.card, model.digest, model.encoder)
            self._models[folder] = _updated(model, encoder=encoder)

    def library(self) -> Library | None:
        """Return what can be served so far, or None."""
        models, awaited = self._models.values(), self._awaited()
        meant = {model.card.name for model in models}.difference(awaited)
        names.note(meant - self._before)
        self._before |= meant
        if self._default == default.UNDECIDED:
            self._default = default.choose(self._candidates, [model.ref for model in models], self._undecided)
        # Another process may have chosen what this one still loads.
        shown = default.UNDECIDED if self._default in awaited else self._default
        return Library(models, [*self.refused], [*self._withdrawn], shown, awaited) if models else None

    def _awaited(self) -> set[str]:
        """Return the references that are still being checked, and the names that are to mean one of them."""
        sound = {model.ref for model in self._models.values()}
        versions: dict[str, list[str]] = {}
        for ref in self._refs:
            versions.setdefault(ref.partition("@")[0], []).append(ref)
        first = {name: default.first(refs, sound, self._undecided) for name, refs in versions.items()}
        # A name that was served goes on meaning what it meant until the new version is there.
        kept = self._before & {ref.partition("@")[0] for ref in sound}
        pending = {name for name, ref in first.items() if ref == default.UNDECIDED} - kept
        encoders = {
            _encoder_of(ref_of(file.parent)) for file in self.encoders if file.parent not in self._encoder_verdicts
        }
        return (self._undecided - sound) | pending | encoders

    def _refuse(self, error: ContractError) -> None:
        # A new one: the traceback of this one has the frames that hold all models of before.
        self.refused.append(ContractError(error.kind, str(error)))
        logger.error("Refused a model: %s", error.line)


def _encoder_of(ref: str) -> str:
    return f"{ref}/{ENCODER_FILE}"


def _updated(model: Model, **found: Any) -> Model:
    """Return a model with what lies beside its file now; the same one where that has not changed."""
    return model if all(getattr(model, name) == value for name, value in found.items()) else replace(model, **found)
