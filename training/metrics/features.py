"""Networks that map images to features, over which sets of images are compared."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.images import Pixels
from training.pictures import to_images

BATCH = 256


@dataclass(frozen=True)
class Features:
    """A frozen feature network; scores are comparable only over the same network with the same digest."""

    name: str
    digest: str  # of its weights
    extract: Callable[[Tensor], Tensor]  # (N, C, S, S) in [-1, 1] -> (N, D)
    batch: int = BATCH
    origin: str = ""  # for a person

    @property
    def note(self) -> str:
        """A line that identifies the network."""
        return f"{self.name}: {self.origin}, digest {self.digest[:12]}"

    def __call__(self, pixels: Pixels) -> Tensor:
        """Map images (N, C, S, S) to features (N, D) float32."""
        return in_batches(self.extract, pixels, self.batch)


@torch.inference_mode()
def in_batches(function: Callable[[Tensor], Tensor], pixels: Pixels, batch: int = BATCH) -> Tensor:
    """Apply a function of images in [-1, 1] to a large set in batches."""
    return torch.cat([function(to_images(part)) for part in torch.split(torch.from_numpy(pixels), batch)])


def digest_of(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


class RandomConv(nn.Module):
    """A convolutional network with fixed random weights: it needs no download and no labels.

    Random features represent colour and texture rather than objects, and still distinguish sets (Naeem et al. 2020,
    section 4.2).
    """

    seed = 0
    width = 32  # filters of the first layer; they double with every halving
    features = 64

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        halvings = max(1, (size // 4).bit_length() - 1)  # to maps of about 4×4
        filters = [channels, *(min(self.width << i, 256) for i in range(halvings))]
        layers = [nn.Conv2d(before, after, 3, 2, 1, bias=False) for before, after in pairwise(filters)]
        self.convolutions = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        self.head = nn.Linear(filters[-1] * 16, self.features, bias=False)
        generator = torch.Generator().manual_seed(self.seed)
        for weight in self.parameters():
            nn.init.kaiming_normal_(weight, generator=generator)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, S, S) in [-1, 1] to (N, 64)."""
        maps = functional.adaptive_avg_pool2d(self.convolutions(images), 4)  # (N, K, 4, 4)
        features: Tensor = self.head(maps.flatten(1))
        return features


def random_conv(channels: int, size: int) -> Features:
    """Return the random network for images of this shape."""
    network = RandomConv(channels, size)
    return Features("random-conv", digest_of(network), network, origin="fixed random weights")
