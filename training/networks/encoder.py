"""Encoders: image (N, C, S, S) in [-1, 1] -> latent (N, Z), of which a generator draws an image like it."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.metrics.efficientnet import EfficientNetLite2, scale
from training.networks.layers import dcgan_initialise, doublings, start_size, widths

WIDTH, MAX_WIDTH = 32, 256  # filters next to the image, and at most
SLOPE = 0.2  # of LeakyReLU

SIDE = 128  # pixels that a photo encoder sees an image at
BLOCKS = 15  # of EfficientNet-Lite2, a quarter of its weights: the later ones know breeds, and not where an ear is
MAPS, MAP_SIDE = 120, 8  # what these make of an image
NARROW, HIDDEN = 48, 768  # filters of the maps' summary, and of the hidden layer
GLANCE = 8  # pixels a side of the copy that keeps the colours


def encoder(latent_dim: int, size: int, channels: int) -> nn.Sequential:
    """Strided 4×4 convolutions with doubling filters, BatchNorm and LeakyReLU, then one linear layer."""
    filters = widths(WIDTH, doublings(size), MAX_WIDTH)
    layers: list[nn.Module] = []
    for before, after in pairwise([channels, *filters]):
        layers += [
            nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
    layers += [nn.Flatten(), nn.Linear(filters[-1] * start_size(size) ** 2, latent_dim)]
    return nn.Sequential(*layers).apply(dcgan_initialise)


class PhotoEncoder(nn.Module):
    """The first blocks of EfficientNet-Lite2, which stay as they are, and a small network on their maps.

    They know what fur and eyes look like, which strided convolutions would have to learn from a few thousand photos.
    """

    def __init__(self, latent_dim: int, network: EfficientNetLite2) -> None:
        super().__init__()
        self.stem, self.blocks = network.stem, network.blocks[:BLOCKS]
        self.narrow = nn.Sequential(
            nn.Conv2d(MAPS, NARROW, 1, bias=False), nn.BatchNorm2d(NARROW), nn.LeakyReLU(SLOPE), nn.AvgPool2d(2)
        )
        seen = NARROW * (MAP_SIDE // 2) ** 2 + MAPS + 3 * GLANCE**2
        self.head = nn.Sequential(
            nn.BatchNorm1d(seen),
            nn.Linear(seen, HIDDEN, bias=False),
            nn.BatchNorm1d(HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, latent_dim),
        )

    def learnt(self) -> list[nn.Parameter]:
        """Return the weights that are trained."""
        return [*self.narrow.parameters(), *self.head.parameters()]

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the frozen blocks make of images (N, C, S, S), (N, 120, 8, 8), and small copies of them."""
        seen = resize(torch.cat([images] * 3, dim=1) if images.shape[1] == 1 else images)
        return self.blocks(self.stem(scale(seen))), functional.avg_pool2d(seen, SIDE // GLANCE)

    def estimate(self, maps: Tensor, glances: Tensor) -> Tensor:
        """Return the latents (N, Z) for what :meth:`maps` returns."""
        parts = [self.narrow(maps).flatten(1), maps.mean(dim=(2, 3)), glances.flatten(1)]
        latents: Tensor = self.head(torch.cat(parts, dim=1))
        return latents

    def forward(self, images: Tensor) -> Tensor:
        """Map images to latents."""
        return self.estimate(*self.maps(images))


def resize(images: Tensor) -> Tensor:
    """Return images (N, C, S, S) at SIDE pixels; written so that an export knows the shape whatever N is."""
    size = images.shape[2]
    if size > SIDE:
        return functional.avg_pool2d(images, size // SIDE)
    return functional.interpolate(images, scale_factor=SIDE / size, mode="bilinear")
