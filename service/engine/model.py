"""A model that is ready to run, and how one is opened from its file."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.contract import INPUT, Card, ContractError, Precision, Refusal, as_line, read_verified
from service.engine import crashes
from service.engine.encoders import Encoder
from service.engine.folders import card_at, read_readme
from service.engine.providers import registry as providers
from service.engine.providers.base import Shape
from service.engine.rows import Row, neutral, to_feeds
from service.engine.verdicts import Verdict
from service.errors import ServiceError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = logging.getLogger("bentoml.nelumbo.library")

Determinism = Literal["exact", "approximate"]


@dataclass(frozen=True, eq=False)
class Model:
    """A generator that is ready to run."""

    card: Card
    digest: str
    provider: str
    session: "InferenceSession"
    readme: str | None = None
    exact: bool = True  # whether an image was the same bytes alone and in a batch when the file was checked
    encoder: Encoder | None = None  # of its images

    @cached_property
    def ref(self) -> str:
        """Name and version as a client writes them: ``digits@1``."""
        return f"{self.card.name}@{self.card.version}"

    @cached_property
    def deterministic(self) -> Determinism:
        """What a seed's bytes can be trusted to be: docs/determinism.md says what each word promises."""
        exact = providers.find(self.provider).exact and self.card.rewrite is None and self.exact
        return "exact" if exact else "approximate"

    @cached_property
    def plain(self) -> bool:
        """Whether the latent is the graph's only input: schema 1."""
        return len(self.card.inputs()) == 1

    @cached_property
    def shape(self) -> Shape:
        """Of an image: (H, W, C)."""
        return self.card.height, self.card.width, self.card.channels

    def run(self, latents: NDArray[np.float32], **others: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the images of ``latents`` and the graph's other inputs: (N, Z) float32 -> (N, H, W, C) uint8."""
        with crashes.running(self.digest, self.ref):
            return providers.find(self.provider).run(self.session, {INPUT: latents, **others}, self.shape)

    def run_rows(self, rows: Sequence[Row]) -> NDArray[np.uint8]:
        """Return the images of ``rows``, (N, H, W, C)."""
        feeds = to_feeds(self.card, rows)
        return self.run(feeds.pop(INPUT), **feeds)


def open_model(file: Path, verdict: Verdict, provider: str, slots: int, max_batch: int) -> Model:
    """Return a model of a file that passed its check, warmed up; raises ContractError."""
    card = card_at(file, verdict)
    read = read_verified(file.parent, file.name)
    if read.digest != verdict.digest:
        sentence = f"{file} changed while it was checked; reload once it is complete"
        raise ContractError(Refusal.WRONG_DIGEST, sentence)
    # A file does not run in a precision that it was not measured in.
    precision = card.rewrite.precision if card.rewrite else Precision.FLOAT32
    try:
        with crashes.running(read.digest, f"{card.name}@{card.version}"):
            session = providers.open_session(
                read.data, provider, precision=precision, slots=slots, max_batch=max_batch, memory=verdict.bytes
            )
        model = Model(card, read.digest, provider, session, read_readme(file.parent), verdict.exact)
        _warm_up(model, file, max_batch)
    except (ServiceError, ContractError):
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common ancestor but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ContractError(Refusal.DOES_NOT_RUN, f"{file} does not run: {as_line(reason)}") from error
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
            sentence = f"{path} drew an array of {images.shape}, against its card"
            raise ContractError(Refusal.WRONG_SIGNATURE, sentence)
