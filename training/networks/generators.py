"""Generators: latent (N, Z), standard normal -> image (N, C, S, S) in [-1, 1]."""

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


def _norm_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
