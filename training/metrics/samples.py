"""Draw samples with a trained generator from a model file or a run folder."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from training import seeds
from training.configs import Crop
from training.errors import InputError
from training.images import Pixels
from training.pictures import to_pixels
from training.run import Run, Snapshot
from training.seeds import Labels, Latents

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 64
UNUSED = {"truncation": 1.0, "directions": 0.0}  # inputs of a model file, and the values that leave an image as it is


@dataclass(frozen=True)
class Sampler:
    """A generator that draws the same images for seeds as the service."""

    latent_dim: int
    size: int  # height and width in pixels
    channels: int
    render: Callable[[Latents, Labels | None], Pixels]  # (N, Z) and, if there are classes, (N,) -> (N, C, S, S)
    crop: Crop = "center"  # of the training images; unknown for an ONNX file
    classes: tuple[str, ...] = ()  # names, in the order of the labels
    labelled: str | None = None  # where the training images had their classes from; unknown for an ONNX file
    background: str = "white"  # as well

    def draw(self, number: int) -> Pixels:
        """Draw the images of seeds 0 … number-1, (N, C, S, S)."""
        return self.render_all(*self.inputs(number))

    def inputs(self, number: int) -> tuple[Latents, Labels | None]:
        """Return the latents and labels of seeds 0 … number-1."""
        return seeds.draw(range(number), self.latent_dim, len(self.classes))

    def render_all(self, latents: Latents, labels: Labels | None) -> Pixels:
        """Draw images (N, C, S, S) in batches."""
        parts = [slice(first, first + BATCH) for first in range(0, len(latents), BATCH)]
        return np.concatenate([self.render(latents[part], None if labels is None else labels[part]) for part in parts])


def open_sampler(path: Path) -> Sampler:
    """Open a model.onnx, a generator-*.pt of a run, or the latest generator of a run folder.

    Raises:
        InputError: the path is neither, or the model does not map ``latent`` (N, Z) to ``image`` (N, S, S, C) uint8.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; pass a model.onnx or a run folder")
    if path.is_file() and path.suffix != ".pt":
        return _from_onnx(path)
    run = Run.open(path)
    return sampler_of(run.load_generator(), run.config().classes)


def sampler_of(snapshot: Snapshot, labelled: str | None = None) -> Sampler:
    """Return the sampler of a run's generator."""

    @torch.inference_mode()
    def render(latents: Latents, labels: Labels | None) -> Pixels:
        inputs = [latents] if labels is None else [latents, labels]
        return to_pixels(snapshot.generator(*map(torch.from_numpy, inputs)))

    images, latent_dim = snapshot.recipe.images, snapshot.recipe.generator.latent_dim
    return Sampler(
        latent_dim,
        images.size,
        images.channels,
        render,
        images.crop,
        snapshot.classes,
        labelled,
        background=images.background,
    )


def _from_onnx(path: Path) -> Sampler:
    try:
        session = _runtime().InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no other common base
        raise InputError(f"{path} is not an ONNX model that this ONNX Runtime can run") from error
    latent_dim, size, channels = _dimensions(session, path)

    def render(latents: Latents, labels: Labels | None) -> Pixels:
        drawn: Pixels = session.run(["image"], _feeds(session, latents, labels))[0]  # (N, S, S, C)
        return drawn.transpose(0, 3, 1, 2)

    return Sampler(latent_dim, size, channels, render, classes=_classes(session, path))


def _runtime() -> Any:
    """Return the module ``onnxruntime``, which sends telemetry from when it is imported unless told not to."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _dimensions(session: "InferenceSession", path: Path) -> tuple[int, int, int]:
    """Return Z, S and C; raises InputError if the model breaks the contract."""
    first, *others = session.get_inputs()
    signature = [(value.name, value.type, value.shape[1:]) for value in (first, *session.get_outputs())]
    match signature:
        case [
            ("latent", "tensor(float)", [int(latent_dim)]),
            ("image", "tensor(uint8)", [int(height), int(width), int(channels)]),
        ] if height == width and channels in (1, 3) and {value.name for value in others} <= {*UNUSED, "label"}:
            return latent_dim, height, channels
    raise InputError(f"{path} does not map latent (N, Z) to square images (N, S, S, C) in uint8; export it again")


def _feeds(session: "InferenceSession", latents: Latents, labels: Labels | None) -> dict[str, NDArray[Any]]:
    """Return the values of a model's inputs; what is neither latent nor label is off."""
    count = len(latents)
    feeds: dict[str, NDArray[Any]] = {
        value.name: np.full([count, *value.shape[1:]], UNUSED[value.name], np.float32)
        for value in session.get_inputs()
        if value.name in UNUSED
    }
    return feeds | {"latent": latents} | ({} if labels is None else {"label": labels})


def _classes(session: "InferenceSession", path: Path) -> tuple[str, ...]:
    """Return the names of the classes from the model's card; raises InputError if they are not a list of names."""
    if "label" not in {value.name for value in session.get_inputs()}:
        return ()
    try:
        names = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
        return tuple(str(name) for name in names)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} has an input label and no list of classes; export it again") from error
