"""The networks of the digits article, layer by layer; at 28 pixels they have its numbers of parameters.

The article is in Keras: weights are initialised as Keras does (Glorot and Bengio 2010, eq. 16), biases with zeros, and
its BatchNorm momentum of 0.8 is the share of the old statistics, 0.2 in torch's sense.
"""

from itertools import pairwise

from torch import nn

from training.configs import CriticConfig, GeneratorConfig, ImagesConfig
from training.networks.layers import Reshape, doublings, start_size

MOMENTUM = 0.2
SLOPE = 0.2  # of LeakyReLU
STRIDES = (2, 2, 2, 1)


def upsample(config: GeneratorConfig, images: ImagesConfig) -> nn.Sequential:
    """A dense layer to a small feature map, then repeated pixels and 3×3 convolutions, and tanh.

    At 28 pixels and width 128: dense to 7×7×128, upsampling and convolution to 64 filters, the same to 32, convolution
    to the image. Repeated pixels with a plain convolution leave no checkerboard (Odena et al. 2016).
    """
    start, width = start_size(images.size), config.width
    filters = [width, *(max(width >> i + 1, min(width, 16)) for i in range(doublings(images.size)))]
    layers: list[nn.Module] = [
        nn.Linear(config.latent_dim, width * start * start),
        nn.ReLU(),
        Reshape(width, start, start),
    ]
    for before, after in pairwise(filters):
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after, momentum=MOMENTUM),
            nn.ReLU(inplace=True),
        ]
    layers += [nn.Conv2d(filters[-1], images.channels, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers).apply(glorot_initialise)


def conv3x3(config: CriticConfig, images: ImagesConfig) -> nn.Sequential:
    """Four 3×3 convolutions with doubling filters and strides 2, 2, 2, 1, then one linear layer.

    BatchNorm in all but the first where asked for, LeakyReLU and dropout of single features after each. A map of an odd
    side, such as the 7×7 of 28 pixels, gets a row and a column of zeros.
    """
    filters = [config.width << i for i in range(len(STRIDES))]
    side = images.size
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([images.channels, *filters], filters, strict=False)):
        layers.append(nn.Conv2d(before, after, 3, STRIDES[i], padding=1))
        side //= STRIDES[i]
        if side % 2:
            layers.append(nn.ZeroPad2d((0, 1, 0, 1)))
            side += 1
        if config.norm == "batch" and i > 0:
            layers.append(nn.BatchNorm2d(after, momentum=MOMENTUM))
        layers += [nn.LeakyReLU(SLOPE, inplace=True), nn.Dropout(config.dropout)]
    layers += [nn.Flatten(), nn.Linear(filters[-1] * side * side, 1), nn.Flatten(start_dim=0)]
    return nn.Sequential(*layers).apply(glorot_initialise)


def glorot_initialise(layer: nn.Module) -> None:
    """Draw weights as Keras does by default. For :meth:`torch.nn.Module.apply`."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
