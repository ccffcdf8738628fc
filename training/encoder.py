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
from training.errors import InputError
from training.files import write_atomically
from training.networks.encoder import encoder

BATCH = 32
LEARNING_RATE = 2e-3  # at the start; it falls linearly to zero
IMAGE_WEIGHT = 4.0  # of the images' mean square error, beside that of the latents
NOISE = 0.1  # most noise that is added to a sample, of 2: a photo has other fine detail than any sample
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


def train(generator: Generator, minutes: float, seed: int, report: Callable[[str], None]) -> Trained:
    """Return an encoder that was trained for so many minutes."""
    torch.manual_seed(seed)
    network = encoder(generator.latent_dim, generator.size, generator.channels)
    device = devices.choose("cpu")
    device.place(network)  # in place, as .to() moves a module
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, betas=(0.9, 0.99))
    started, told, seen = time.monotonic(), 0.0, 0
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - share)
        with device.autocast():
            latent_error, image_error = losses(network, generator)
        optimiser.zero_grad()
        (latent_error + IMAGE_WEIGHT * image_error).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen += BATCH
        if time.monotonic() - told > REPORT:
            told = time.monotonic()
            report(f"{seen:,} samples: latent error {latent_error.item():.3f}, image error {image_error.item():.4f}")
    network.eval().requires_grad_(False)
    return Trained(network, generator.latent_dim, generator.size, generator.channels, seen)


def losses(network: nn.Module, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return the mean square errors of the latents of new samples, and of the samples that are drawn from them."""
    latents = torch.randn(BATCH, generator.latent_dim)
    labels = generator.draw_labels(BATCH)
    with torch.no_grad():
        images = generator(latents, labels).float()  # (N, C, S, S)
    noise = torch.randn_like(images) * torch.rand(BATCH, 1, 1, 1) * NOISE
    found = network(images + noise).float()
    return functional.mse_loss(found, latents), functional.mse_loss(generator(on_shell(found), labels).float(), images)


def on_shell(latents: Tensor) -> Tensor:
    """Return latents (N, Z) with the length √Z, near which normal ones lie; of what is unknown, the mean is 0."""
    scaled: Tensor = latents * (latents.shape[1] ** 0.5 / latents.norm(dim=1, keepdim=True).clamp(min=1e-6))
    return scaled
