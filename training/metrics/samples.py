"""Draw samples with a trained generator from a model file or a run folder."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.configs import Crop
from training.errors import InputError
from training.images import Pixels
from training.pictures import to_pixels
from training.run import Run

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 64
Latents = NDArray[np.float32]  # (N, Z)


@dataclass(frozen=True)
class Sampler:
    """A generator that draws the same images for seeds as the service."""

    latent_dim: int
    size: int  # height and width in pixels
    channels: int
    render: Callable[[Latents], Pixels]  # (N, Z) -> (N, C, S, S)
    crop: Crop = "center"  # of the training images; unknown for an ONNX file

    def draw(self, number: int) -> Pixels:
        """Draw the images of seeds 0 … number-1, (N, C, S, S)."""
        return np.concatenate([self.render(part) for part in self._latents(number)])

    def _latents(self, number: int) -> Iterator[Latents]:
        for first in range(0, number, BATCH):
            seeds = range(first, min(first + BATCH, number))
            yield np.stack([np.random.RandomState(s).randn(self.latent_dim).astype(np.float32) for s in seeds])


def open_sampler(path: Path) -> Sampler:
    """Open a model.onnx, a generator-*.pt of a run, or the latest generator of a run folder.

    Raises:
        InputError: the path is neither, or the model does not map ``latent`` (N, Z) to ``image`` (N, S, S, C) uint8.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; pass a model.onnx or a run folder")
    return _from_onnx(path) if path.is_file() and path.suffix != ".pt" else _from_run(Run.open(path))


def _from_run(run: Run) -> Sampler:
    snapshot = run.load_generator()

    @torch.inference_mode()
    def render(latents: Latents) -> Pixels:
        return to_pixels(snapshot.generator(torch.from_numpy(latents)))

    images = snapshot.recipe.images
    return Sampler(snapshot.recipe.generator.latent_dim, images.size, images.channels, render, images.crop)


def _from_onnx(path: Path) -> Sampler:
    try:
        session = _runtime().InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no other common base
        raise InputError(f"{path} is not an ONNX model that this ONNX Runtime can run") from error
    latent_dim, size, channels = _dimensions(session, path)

    def render(latents: Latents) -> Pixels:
        drawn: Pixels = session.run(["image"], {"latent": latents})[0]  # (N, S, S, C)
        return drawn.transpose(0, 3, 1, 2)

    return Sampler(latent_dim, size, channels, render)


def _runtime() -> Any:
    """Return the module ``onnxruntime``, which sends telemetry from when it is imported unless told not to."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _dimensions(session: "InferenceSession", path: Path) -> tuple[int, int, int]:
    """Return Z, S and C; raises InputError if the model breaks the contract."""
    signature = [(value.name, value.type, value.shape[1:]) for value in (*session.get_inputs(), *session.get_outputs())]
    match signature:
        case [
            ("latent", "tensor(float)", [int(latent_dim)]),
            ("image", "tensor(uint8)", [int(height), int(width), int(channels)]),
        ] if height == width and channels in (1, 3):
            return latent_dim, height, channels
    raise InputError(f"{path} does not map latent (N, Z) to square images (N, S, S, C) in uint8; export it again")
