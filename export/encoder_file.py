"""Export an encoder for a model file, and measure how near the images are that its estimates draw."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from export.errors import ExportError, InputError
from export.graph import trace_module
from export.halves import halve
from export.sampler import Images, Sampler
from export.serialise import serialise
from service.contract import INPUT, OUTPUT
from service.contract.encoder import EncoderCard
from service.contract.graph import ModelFile
from service.engine import onnx_runtime
from training.encoder import Trained, load
from training.errors import TrainingError

SAMPLES = 256
TOLERANCE = 0.02  # largest difference of a number of a latent from torch's, whose weights have more digits


class FromPixels(nn.Module):
    """An encoder with the contract's input: image (N, H, W, C) uint8 -> latent (N, Z)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        """Scale levels to [-1, 1], move channels first and encode."""
        latent: Tensor = self.encoder(image.to(torch.float32).permute(0, 3, 1, 2) / 127.5 - 1)
        return latent


def build(path: Path, model: ModelFile) -> tuple[bytes, EncoderCard]:
    """Return the ``encoder.onnx`` of an encoder that python -m training encoder wrote, and its card.

    Raises:
        InputError: the file cannot be read, or is for another kind of model.
        ExportError: the graph breaks the contract, or its latents differ from torch's.
    """
    try:
        trained = load(path)
    except TrainingError as error:
        raise InputError(str(error)) from error
    card = model.card
    if (trained.latent_dim, trained.size, trained.size, trained.channels) != (
        card.latent_dim, card.height, card.width, card.channels,
    ):  # fmt: skip
        raise InputError(f"{path} was trained for a model of another size than {card.name}@{card.version}")
    graph = _trace(trained)
    distance, unrelated = _measure(graph, trained, Sampler(onnx.load_model_from_string(model.data), card.latent_dim))
    described = EncoderCard(
        source=model.digest,
        latent_dim=card.latent_dim,
        height=card.height,
        width=card.width,
        channels=card.channels,
        error=distance,
        unrelated=unrelated,
        samples=SAMPLES,
        images_seen=trained.images_seen,
        date=datetime.now(UTC).date().isoformat(),
    )
    return serialise(graph, described), described


def _trace(trained: Trained) -> onnx.ModelProto:
    example = torch.zeros(2, trained.size, trained.size, trained.channels, dtype=torch.uint8)
    graph = trace_module(FromPixels(trained.network), {OUTPUT: example}, INPUT)
    halve(graph)
    return graph


def _measure(graph: onnx.ModelProto, trained: Trained, sampler: Sampler) -> tuple[float, float]:
    """Return the mean differences of pixels, in levels: of samples from what is drawn again, and from other samples."""
    images = sampler.draw(range(SAMPLES))
    session = onnx_runtime.load().InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (latents,) = session.run([INPUT], {OUTPUT: images})
    with torch.inference_mode():
        expected = FromPixels(trained.network)(torch.from_numpy(images)).numpy()
    if np.abs(latents - expected).max() > TOLERANCE:
        raise ExportError("the graph's latents differ from torch's")
    return _apart(images, sampler.render(latents)), _apart(images, images[::-1])


def _apart(one: Images, other: Images) -> float:
    return round(float(np.abs(one.astype(np.int16) - other).mean()), 2)
