"""Open a trained generator so that gradients flow through it, from a run or from a model file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import InputError
from training.onnx_generator import OnnxGenerator
from training.run import Run


@dataclass(frozen=True)
class Generator:
    """A frozen generator.

    Attributes:
        network: latent (N, Z) and, if there are classes, label (N,) -> image (N, C, S, S) in [-1, 1].
        latent_dim: Z.
        size: S.
        channels: C.
        classes: their number; 0 for none.
    """

    network: nn.Module
    latent_dim: int
    size: int
    channels: int
    classes: int = 0

    def draw_labels(self, count: int) -> Tensor | None:
        """Return random labels (count,), or None if there are no classes."""
        return torch.randint(self.classes, (count,)) if self.classes else None

    def __call__(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, Z) and labels (N,) to images (N, C, S, S) in [-1, 1]."""
        images: Tensor = self.network(latents) if labels is None else self.network(latents, labels)
        return images


def open_generator(path: Path) -> Generator:
    """Open a model.onnx, or a run folder or one of its generator-*.pt; raises InputError."""
    if not path.exists():
        raise InputError(f"{path} does not exist; pass a run folder or a model.onnx")
    return _from_file(path) if path.suffix == ".onnx" else _from_run(Run.open(path))


def _from_run(run: Run) -> Generator:
    snapshot = run.load_generator()
    images = snapshot.recipe.images
    return Generator(
        snapshot.generator,
        snapshot.recipe.generator.latent_dim,
        images.size,
        images.channels,
        len(getattr(snapshot, "classes", ())),
    )


def _from_file(path: Path) -> Generator:
    network = OnnxGenerator.read(path)
    card: dict[str, Any] = network.metadata
    try:
        sides = {int(card["height"]), int(card["width"])}
        (size,) = sides
        return Generator(
            network, int(card["latent_dim"]), size, int(card["channels"]), len(json.loads(card.get("classes", "[]")))
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} has no card of square images; export it again") from error
