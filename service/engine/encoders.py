"""Encoders of the models, ``encoder.onnx`` beside their files: checked in the child process, and opened on the CPU."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.contract import INPUT, OUTPUT, Card, ContractError, Refusal, as_line, read_verified
from service.contract.encoder import ENCODER_FILE, EncoderCard, read_encoder_card
from service.engine import crashes
from service.engine.providers import registry as providers
from service.engine.verdicts import Verdict

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = logging.getLogger("bentoml.nelumbo.encoders")


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder that is ready to run."""

    card: EncoderCard
    digest: str
    session: "InferenceSession"

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the latents (N, Z) that it estimates of images (N, H, W, C)."""
        with crashes.running(self.digest, ENCODER_FILE):
            latents: NDArray[np.float32] = self.session.run([INPUT], {OUTPUT: images})[0]
        return latents


def open_checked(file: Path, verdict: Verdict, model: Card, digest: str, known: Encoder | None) -> Encoder | None:
    """Return the encoder in a checked file; None where it cannot be used, and the log says why.

    Args:
        file: ``encoder.onnx``.
        verdict: on the file.
        model: card of the model beside it.
        digest: of that model's file.
        known: the model's encoder so far, which is kept if it is this one.
    """
    if known and known.digest == verdict.digest:
        return known
    try:
        return _open(file, verdict, model, digest)
    except ContractError as error:
        logger.error("Refused an encoder: %s", error.line)
        return None


def _open(file: Path, verdict: Verdict, model: Card, digest: str) -> Encoder:
    """Open a checked encoder of the model that has this card and digest; raises ContractError."""
    card = read_encoder_card(verdict.passed(str(file)), str(file))
    if card.source != (model.rewrite.source if model.rewrite else digest):
        raise ContractError(Refusal.WRONG_ENCODER, f"{file} was made for another model file; export it again")
    if card.outputs()[INPUT].row != (model.latent_dim,):
        sentence = f"{file} gives {card.latent_dim} numbers, and the model takes {model.latent_dim}"
        raise ContractError(Refusal.WRONG_ENCODER, sentence)
    read = read_verified(file.parent, file.name)
    if read.digest != verdict.digest:
        sentence = f"{file} changed while it was checked; reload once it is complete"
        raise ContractError(Refusal.WRONG_DIGEST, sentence)
    try:
        with crashes.running(read.digest, str(file)):
            return Encoder(card, read.digest, providers.open_session(read.data, "cpu", memory=verdict.bytes))
    except Exception as error:  # ONNX Runtime's exceptions have no common ancestor but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ContractError(Refusal.DOES_NOT_RUN, f"{file} does not run: {as_line(reason)}") from error
