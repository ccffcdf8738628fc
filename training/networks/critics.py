"""Critics (WGAN) and discriminators (DCGAN): image (N, C, S, S) in [-1, 1] -> score (N,), unbounded."""

import itertools

from torch import Tensor, nn

from training.configs import CriticConfig, ImagesConfig
from training.errors import InputError
from training.networks.layers import (
    MinibatchStd,
    UpsampleConv,
    dcgan_initialise,
    doublings,
    start_size,
    widths,
)


def strided(config: CriticConfig, images: ImagesConfig) -> nn.Module:
    """Strided 4×4 convolutions with doubling filters, then one linear layer.

    LeakyReLU 0.2 throughout; BatchNorm, where asked for, in all layers but the first (Radford et al. 2016).
    """
    filters = widths(config.width, doublings(images.size), config.max_width)
    halvings = [0]  # layers up to each feature map
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([images.channels, *filters], filters, strict=False)):
        normed = config.norm == "batch" and i > 0
        layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normed))
        if normed:
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        if config.dropout:
            layers.append(nn.Dropout2d(config.dropout))
        halvings.append(len(layers))
    last = filters[-1]
    if config.minibatch_std:
        # A convolution after the statistic, so that it can be combined with the features.
        layers += [MinibatchStd(), nn.Conv2d(last + 1, last, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
    layers += [nn.Flatten(), nn.Linear(last * start_size(images.size) ** 2, 1), nn.Flatten(start_dim=0)]
    return Strided(*layers, tapped=halvings[-2]).apply(dcgan_initialise)


class Strided(nn.Sequential):
    """A chain of layers; the first ``tapped`` of them end in the second smallest feature map, 8×8 or 14×14."""

    def __init__(self, *layers: nn.Module, tapped: int) -> None:
        super().__init__(*layers)
        self.tapped = tapped

    def features(self, images: Tensor) -> Tensor:
        """Map images (N, C, S, S) to that feature map (N, K, 8, 8), or 14×14."""
        for layer in itertools.islice(self, self.tapped):
            images = layer(images)
        return images


def decoder(config: CriticConfig, images: ImagesConfig) -> nn.Sequential:
    """Return what redraws images at 32×32 (or 56×56) from the critic's features (Liu et al. 2021, section 3.2).

    A critic whose features can redraw an image has looked at all of it, not only at what tells its few images apart.
    """
    channels = widths(config.width, doublings(images.size), config.max_width)[-2]
    return nn.Sequential(
        UpsampleConv(channels, 32),
        nn.LeakyReLU(0.2),
        UpsampleConv(32, 16),
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, images.channels, 3, padding=1),
        nn.Tanh(),
    )


def freeze(critic: nn.Module, number: int) -> None:
    """Freeze the first convolutions and the norms that follow them (Mo et al. 2020, "FreezeD").

    Their features are common to many subjects; gradients still pass through them.

    Raises:
        InputError: the critic has fewer convolutions than ``number``.
    """
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    convolutions = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    if number > len(convolutions):
        raise InputError(f"critic.frozen={number}: this critic has only {len(convolutions)} convolutions")
    end = [0, *convolutions[1:], len(layers)][number]  # of what is frozen: where the next convolution stands
    for layer in layers[:end]:
        layer.requires_grad_(False)
