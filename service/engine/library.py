"""The models on disk, ``<folder>/<name>/<version>/model.onnx``: found, checked and opened."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.contract import INPUT, MODEL_FILE, Card, ContractError, Precision, as_line, read_verified
from service.contract.files import read_digests, read_inside
from service.engine import crashes
from service.engine.checker import Checker
from service.engine.providers import registry as providers
from service.engine.rows import Row, neutral, to_feeds
from service.engine.verdicts import Verdict
from service.errors import ServiceError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = logging.getLogger("bentoml.nelumbo.library")

Determinism = Literal["exact", "approximate"]

README = "README.md"  # a description of the model, beside its file
MAX_README = 2**16
NICE = 5  # nice value of the check while the server serves


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
    exact: bool = True  # whether an image was the same bytes alone and in a batch when the file was checked

    @cached_property
    def ref(self) -> str:
        """Name and version as a client writes them: ``digits@1``."""
        return f"{self.card.name}@{self.card.version}"

    @property
    def deterministic(self) -> Determinism:
        """What a seed's bytes can be trusted to be: docs/determinism.md says what each word promises."""
        exact = providers.find(self.provider).exact and self.card.rewrite is None and self.exact
        return "exact" if exact else "approximate"

    @cached_property
    def plain(self) -> bool:
        """Whether the latent is the graph's only input: schema 1."""
        return len(self.card.inputs()) == 1

    def run(self, latents: NDArray[np.float32], **others: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the images of ``latents`` and the graph's other inputs: (N, Z) float32 -> (N, H, W, C) uint8."""
        shape = self.card.height, self.card.width, self.card.channels
        with crashes.running(self.digest, self.ref):
            return providers.find(self.provider).run(self.session, {INPUT: latents, **others}, shape)

    def run_rows(self, rows: Sequence[Row]) -> NDArray[np.uint8]:
        """Return the images of ``rows``, (N, H, W, C)."""
        feeds = to_feeds(self.card, rows)
        return self.run(feeds.pop(INPUT), **feeds)


class Library:
    """The models that are served; never changed, only replaced by another.

    Attributes:
        refused: a sentence for each model that was there and is not served.
        withdrawn: of these sentences, those of models that were served until workers crashed of them.
    """

    def __init__(self, models: Iterable[Model], refused: Sequence[str] = (), withdrawn: Sequence[str] = ()) -> None:
        self.refused = refused
        self.withdrawn = withdrawn
        self._models = sorted(models, key=lambda model: (model.card.name, -model.card.version))
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
        """Return the model called ``digits@1``, the newest ``digits``, or the first; raises UnknownModelError."""
        if ref is None:
            return self._models[0]
        try:
            return self._by_ref[ref]
        except KeyError:
            raise UnknownModelError(", ".join(model.ref for model in self._models)) from None


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


def require_sound(folder: Path, provider: str, checker: Checker) -> None:
    """Check all models under ``folder``; raises ServiceError where none of them can be served.

    What is found is shared with the workers as it is found, where the server's processes share a directory.
    """
    files = [_chosen(path, provider) for path in find_folders(folder)]
    refused = []
    for file, verdict in checker.check(files):
        try:
            _card_at(file, verdict)
        except ContractError as error:
            refused.append(str(error))
    if len(refused) == len(files):
        raise _none_can_be_served(folder, refused)


def _none_can_be_served(folder: Path, refused: Sequence[str]) -> ServiceError:
    return ServiceError(f"none of the models in {folder} can be served: {'; '.join(refused)}")


def load_library(
    folder: Path,
    provider: str,
    slots: int = 1,
    max_batch: int = 1,
    served: Library | None = None,
    *,
    checker: Checker | None = None,
    publish: Callable[[Library], None] | None = None,
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

    Raises:
        ServiceError: when the provider is not there, or no model can be served.
    """
    providers.require(provider)
    crashes.charge()
    loading = Loading(folder, provider, served)
    checker = checker or Checker(max_batch)
    for file, verdict in checker.check(loading.unchecked, nice=NICE if served else 0):
        loading.add(file, verdict, slots, max_batch)
        if publish and (so_far := loading.library()):
            publish(so_far)
    if (library := loading.library()) is None:
        raise _none_can_be_served(folder, loading.refused)
    return library


class Loading:
    """What has become of the models in a folder so far.

    Attributes:
        unchecked: the files that have to be checked.
        refused: a sentence for each model that cannot be served.
    """

    def __init__(self, folder: Path, provider: str, served: Library | None) -> None:
        """Take over what is served and has not changed; raises ServiceError where no model is there."""
        known = {model.ref: model for model in served or ()}
        self._provider = provider
        self._models: dict[Path, Model] = {}
        self.unchecked: list[Path] = []
        self.refused: list[str] = []
        self._withdrawn: list[str] = []
        for path in find_folders(folder):
            file = _chosen(path, provider)
            digest = _stated_digest(file)
            old = known.get(f"{path.parent.name}@{path.name}")
            if why := crashes.withdrawn(digest):
                self._withdrawn.append(why)
                self._refuse(f"{file}: {why}")
                continue
            if old and crashes.withdrawn(old.digest) is None:
                self._models[path] = _with_readme(path, old)
            if not (old and old.digest == digest):
                self.unchecked.append(file)

    def add(self, file: Path, verdict: Verdict, slots: int, max_batch: int) -> None:
        """Open a file that was checked, or note why not."""
        try:
            self._models[file.parent] = _open(file, verdict, self._provider, slots, max_batch)
        except ContractError as error:
            self._refuse(str(error))

    def library(self) -> Library | None:
        """Return what can be served so far, or None."""
        models = self._models.values()
        return Library(models, [*self.refused], [*self._withdrawn]) if models else None

    def _refuse(self, sentence: str) -> None:
        self.refused.append(sentence)
        logger.error("Refused a model: %s", sentence)


def _stated_digest(file: Path) -> str:
    """Return what the digest file says of a file; nothing where it cannot be read."""
    try:
        return read_digests(file.parent).get(file.name, "")
    except ContractError:
        return ""


def _with_readme(folder: Path, model: Model) -> Model:
    """Return a model with what is said of it now, which its digest does not cover."""
    readme = _read_readme(folder)
    return model if readme == model.readme else replace(model, readme=readme)


def _chosen(folder: Path, provider: str) -> Path:
    """Return a version's file that was rewritten for the provider, or else the one that all can run."""
    rewritten = folder / providers.find(provider).rewritten_file()
    return rewritten if rewritten.exists() else folder / MODEL_FILE


def _card_at(file: Path, verdict: Verdict) -> Card:
    """Return the card of a checked file, which names the folders that it lies in; raises ContractError."""
    card = verdict.card(str(file))
    folder, said = file.parent, (card.name, str(card.version))
    if said != (folder.parent.name, folder.name):
        raise ContractError(f"{folder} holds {'@'.join(said)}; name its folders so: {'/'.join(said)}")
    return card


def _open(file: Path, verdict: Verdict, provider: str, slots: int, max_batch: int) -> Model:
    card = _card_at(file, verdict)
    read = read_verified(file.parent, file.name)
    if read.digest != verdict.digest:
        raise ContractError(f"{file} changed while it was checked; reload once it is complete")
    # A file does not run in a precision that it was not measured in.
    precision = card.rewrite.precision if card.rewrite else Precision.FLOAT32
    try:
        with crashes.running(read.digest, f"{card.name}@{card.version}"):
            session = providers.open_session(read.data, provider, precision=precision, slots=slots, max_batch=max_batch)
        model = Model(card, read.digest, provider, session, _read_readme(file.parent), verdict.exact)
        _warm_up(model, file, max_batch)
    except (ServiceError, ContractError):
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common ancestor but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ContractError(f"{file} does not run: {as_line(reason)}") from error
    logger.info("Serving %s with %s from %s, sha256 %s", model.ref, provider, file.name, read.digest)
    return model


def _warm_up(model: Model, path: Path, largest: int) -> None:
    """Run each size of batch that doubles up to the largest: memory is laid out, kernels are chosen or compiled.

    A model that fails at some batch size is found here, and not by the first request for that size.
    """
    card = model.card
    for batch in sorted({*(1 << i for i in range(largest.bit_length())), largest}):
        images = model.run_rows(neutral(card, np.zeros((batch, card.latent_dim), np.float32)))
        if images.shape != (batch, card.height, card.width, card.channels):
            raise ContractError(f"{path} drew an array of {images.shape}, against its card")


def _read_readme(folder: Path) -> str | None:
    """Return the first 64 KiB of a model's README.md, or None where there is none; clients read it."""
    try:
        return read_inside(folder, README, MAX_README, cut=True).decode(errors="replace")
    except ContractError:
        return None
