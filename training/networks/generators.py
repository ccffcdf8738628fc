"""Generators: latent (N, Z), standard normal -> image (N, C, S, S) in [-1, 1]."""

from itertools import pairwise

from torch import nn

from training.configs import GeneratorConfig, ImagesConfig
from training.networks.layers import (
    SKIP,
    Reshape,
    SkipExcitation,
    SkipSequential,
    dcgan_initialise,
    doublings,
    start_size,
    widths,
)


def transposed(config: GeneratorConfig, images: ImagesConfig) -> nn.Sequential:
    """Transposed convolutions from one pixel to the image, BatchNorm and ReLU, then tanh (Radford et al. 2016).

    The first layer makes 4×4 (or 7×7) of 1×1; each of the others doubles it with a 4×4 kernel, but that
    ``second_stride: 4`` makes two doublings in one layer, as the lotus recipe does. With ``skip_excitation`` the
    small maps gate the large ones.
    """
    leap = config.second_stride == 4
    strides = [4, *[2] * (doublings(images.size) - 2)] if leap else [2] * doublings(images.size)
    channels = widths(config.width, len(strides), config.max_width)[::-1]
    layers: list[nn.Module] = [
        Reshape(config.latent_dim, 1, 1),
        nn.ConvTranspose2d(config.latent_dim, channels[0], start_size(images.size), bias=False),
    ]
    for i, (filters, stride) in enumerate(zip(channels, strides, strict=True)):
        layers += _norm_relu(filters)
        if config.skip_excitation and i >= SKIP:
            layers.append(SkipExcitation(channels[i - SKIP], filters))
        last = i == len(channels) - 1
        after = images.channels if last else channels[i + 1]
        layers.append(nn.ConvTranspose2d(filters, after, 4, stride, (4 - stride) // 2, bias=last))
    return SkipSequential(*layers, nn.Tanh()).apply(dcgan_initialise)


def upsample(config: GeneratorConfig, images: ImagesConfig) -> nn.Sequential:
    """A dense layer to a small feature map, then repeated pixels and 3×3 convolutions, and tanh.

    At 28 pixels and width 128: dense to 7×7×128, twice upsampling + convolution (128, 64 filters), convolution, tanh.
    Repeated pixels with a plain convolution leave no checkerboard (Odena et al. 2016).
    """
    start, width = start_size(images.size), config.width
    layers: list[nn.Module] = [
        nn.Linear(config.latent_dim, width * start * start),
        nn.ReLU(),
        Reshape(width, start, start),
    ]
    filters = [width, *(max(width >> i, min(width, 16)) for i in range(doublings(images.size)))]
    for before, after in pairwise(filters):
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            *_norm_relu(after),
        ]
    layers += [nn.Conv2d(filters[-1], images.channels, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers).apply(dcgan_initialise)


def _norm_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
