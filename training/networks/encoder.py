"""An encoder: image (N, C, S, S) in [-1, 1] -> latent (N, Z), of which a generator draws an image like it."""

from itertools import pairwise

from torch import nn

from training.networks.layers import dcgan_initialise, doublings, start_size, widths

WIDTH, MAX_WIDTH = 32, 256  # filters next to the image, and at most
SLOPE = 0.2  # of LeakyReLU


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
