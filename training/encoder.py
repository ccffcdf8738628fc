"""Train an encoder of a generator on the generator's own samples: no images are needed, and every latent is known.

The encoder is taught to name the latent of a sample, and a latent that draws the sample again: of what an image does
not show of its latent, the first alone would learn the mean, which draws faded images.
"""

import io
import time
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
from training.networks.encoder import encoder
from training.perceptual import Perceptual, apart
from training.pictures import to_images

BATCH = 24  # samples
PHOTOS = 12  # beside them; their features take more time than all else
SAMPLES_ALONE = 0.3  # of the time, at first
LEARNING_RATE = 2e-3  # at most; it falls linearly to zero
LAST_LAYER = 0.1  # of it
WARM_UP = 50  # steps to it
LATENT_WEIGHT, IMAGE_WEIGHT = 0.5, 4.0  # of samples
PHOTO_WEIGHT, FEATURE_WEIGHT, LENGTH_WEIGHT = 0.5, 5.0, 1.0  # of photos
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
        buffer = io.BytesIO()
        torch.save({"encoder": fields, "weights": self.network.state_dict()}, buffer)
        write_atomically(path, buffer.getvalue())


def load(path: Path) -> Trained:
    """Read an encoder from a file, in evaluation mode; raises InputError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        fields = state["encoder"]
        network = encoder(fields["latent_dim"], fields["size"], fields["channels"])
        network.load_state_dict(state["weights"])
    except Exception as error:  # torch's unpickler raises almost anything for other files
        raise InputError(f"{path} is not an encoder that python -m training encoder wrote") from error
    return Trained(network.eval().requires_grad_(False), **fields)


class Photos:
    """Photos to train on, at random, and their features.

    Args:
        pixels: (N, C, S, S).
        perceptual: what describes them.
    """

    def __init__(self, pixels: Pixels, perceptual: Perceptual) -> None:
        self._pixels = torch.from_numpy(pixels)
        self._features = perceptual.describe_all(pixels)  # mirrored photos have nearly the same
        self._perceptual = perceptual

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """Return images (count, C, S, S) in [-1, 1], half of them mirrored, and their features (count, D)."""
        chosen = torch.randint(len(self._pixels), (count,))
        images = to_images(self._pixels[chosen])
        mirrored = torch.where(torch.rand(count, 1, 1, 1) < 0.5, images.flip(3), images)
        return mirrored, self._features[chosen]

    def apart(self, images: Tensor, features: Tensor) -> Tensor:
        """Return the mean distance of images from photos with these features."""
        return apart(self._perceptual.describe(images), features).mean()


def train(
    generator: Generator, minutes: float, seed: int, report: Callable[[str], None], photos: Pixels | None = None
) -> Trained:
    """Return an encoder that was trained for so many minutes, on samples, and then on photos (N, C, S, S), too."""
    torch.manual_seed(seed)
    network = encoder(generator.latent_dim, generator.size, generator.channels)
    device = devices.choose("cpu")
    device.place(network)  # in place, as .to() moves a module
    optimiser = _optimiser(network)
    started, told, seen = time.monotonic(), 0.0, 0
    with device.autocast():
        known = None if photos is None else Photos(photos, Perceptual.open(generator.channels, generator.size))
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * min(1 - share, (1 + seen / BATCH) / WARM_UP)
        with device.autocast():
            errors = losses(network, generator, known if share > SAMPLES_ALONE else None)
        optimiser.zero_grad()
        errors.total().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen += BATCH
        if time.monotonic() - told > REPORT:
            told = time.monotonic()
            report(f"{seen:,} samples: {errors}")
    network.eval().requires_grad_(False)
    return Trained(network, generator.latent_dim, generator.size, generator.channels, seen)


def _optimiser(network: nn.Sequential) -> torch.optim.Optimizer:
    """Return Adam, slower for the last layer: a step of its 4,096 weights for each number moves that number far."""
    groups = [
        {"params": network[:-1].parameters(), "rate": LEARNING_RATE},
        {"params": network[-1].parameters(), "rate": LEARNING_RATE * LAST_LAYER},
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99))


@dataclass(frozen=True)
class Errors:
    """What an encoder is to make small: mean square errors, and distances.

    Attributes:
        latents: of samples.
        images: samples, from what is drawn of the latents that are found of them.
        photos: the same of photos; 0 without any.
        features: of photos.
        lengths: of photos' latents, from that of the shell, as a share of it. They are scaled before they are drawn, so
            nothing else would hold their lengths: after 60 steps they had doubled.
    """

    latents: Tensor
    images: Tensor
    photos: Tensor
    features: Tensor
    lengths: Tensor

    def total(self) -> Tensor:
        """Return the weighted sum."""
        samples = LATENT_WEIGHT * self.latents + IMAGE_WEIGHT * self.images
        photos = PHOTO_WEIGHT * self.photos + FEATURE_WEIGHT * self.features + LENGTH_WEIGHT * self.lengths
        return samples + photos

    def __str__(self) -> str:
        return ", ".join(f"{name} {float(error.detach()):.4f}" for name, error in vars(self).items())


def losses(network: nn.Module, generator: Generator, photos: Photos | None = None) -> Errors:
    """Return the errors over new samples and, if there are any, over photos."""
    latents = torch.randn(BATCH, generator.latent_dim)
    labels = generator.draw_labels(BATCH)
    with torch.no_grad():
        pictures = generator(latents, labels).float()  # (N, C, S, S)
    if photos is not None:
        some, features = photos.take(PHOTOS)
        pictures = torch.cat([pictures, some])
    found = network(disturb(pictures)).float()
    drawn = generator(on_shell(found), labels).float()
    apart_by = (drawn - pictures).square().mean(dim=(1, 2, 3))
    nothing = torch.zeros(())
    return Errors(
        latents=functional.mse_loss(found[:BATCH], latents),
        images=apart_by[:BATCH].mean(),
        photos=nothing if photos is None else apart_by[BATCH:].mean(),
        features=nothing if photos is None else photos.apart(drawn[BATCH:], features),
        lengths=nothing if photos is None else (found[BATCH:].square().mean(dim=1).sqrt() - 1).square().mean(),
    )


def on_shell(latents: Tensor) -> Tensor:
    """Return latents (N, Z) with the length √Z, near which normal ones lie; of what is unknown, the mean is 0."""
    scaled: Tensor = latents * (latents.shape[1] ** 0.5 / latents.norm(dim=1, keepdim=True).clamp(min=1e-6))
    return scaled
