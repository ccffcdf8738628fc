"""Layers that torch does not have, and what generators and critics share."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.configs import GROUP

SKIP = 3  # doublings between the map that a gate reads and the one that it scales


def start_size(size: int) -> int:
    """Return the side of the smallest feature map, 4 or 7, from which doubling reaches ``size``."""
    return 7 if size % 7 == 0 else 4


def doublings(size: int) -> int:
    """Return how often the smallest feature map doubles to reach ``size``."""
    return (size // start_size(size)).bit_length() - 1


def widths(width: int, count: int, most: int) -> list[int]:
    """Return ``count`` filter numbers that start at ``width`` and double, up to ``most``."""
    return [min(width << i, max(width, most)) for i in range(count)]


def dcgan_initialise(layer: nn.Module) -> None:
    """Draw weights from N(0, 0.02), scales of BatchNorm from N(1, 0.02) (Radford et al. 2016, section 4).

    For :meth:`torch.nn.Module.apply`.
    """
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def he_initialise(weight: Tensor, gain: float = 2**0.5) -> None:
    """Draw a weight (out, in, …) from N(0, gain² / fan-in); √2 keeps a variance through ReLU (He et al. 2015)."""
    nn.init.normal_(weight, 0.0, gain / weight[0].numel() ** 0.5)


class Reshape(nn.Module):
    """View each example of a batch as ``shape``, a feature map, in the layout that the layers after it keep."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, …) to (N, *shape)."""
        # Layers of the other layout work more slowly, and the images that they make are copied into this one.
        return x.reshape(x.shape[0], *self.shape).contiguous(memory_format=torch.channels_last)


class UpsampleConv(nn.Module):
    """Nearest-neighbour upsampling and a 3×3 convolution, computed as one transposed 4×4 convolution of stride 2.

    Along one axis, output pixel 2i of the two steps is k₀x[i-1] + (k₁+k₂)x[i], and output pixel 2i+1 is
    (k₀+k₁)x[i] + k₂x[i+1]: of three neighbouring pixels two are always copies of one, so that their weights add up. A
    transposed convolution of stride 2 and padding 1 with the kernel (t₀, t₁, t₂, t₃) gives t₃x[i-1] + t₁x[i] at 2i and
    t₂x[i] + t₀x[i+1] at 2i+1. Both are equal where t = (k₂, k₁+k₂, k₀+k₁, k₀), in both axes, and at the border zeros
    take the place of what is missing. It costs 4×4 products for each pixel of the small map, where the two steps cost
    2×2×3×3, and like them leaves no checkerboard (Odena et al. 2016).
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before, 3, 3))  # as nn.Conv2d has it
        he_initialise(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, after, 2H, 2W)."""
        return functional.conv_transpose2d(x, self.kernel(), stride=2, padding=1)

    def kernel(self) -> Tensor:
        """Return the summed kernel (before, after, 4, 4)."""
        padded = functional.pad(self.weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))  # (before, after, 5, 5)
        rows = padded[:, :, 1:] + padded[:, :, :-1]
        return rows[..., 1:] + rows[..., :-1]


class SkipExcitation(nn.Module):
    """Scale each channel of a large map by a gate computed from a small, earlier one (Liu et al. 2021, eq. 3).

    Coarse features reach the fine layers directly, at the price of one number a channel.
    """

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Conv2d(low, high, 4), nn.LeakyReLU(0.1), nn.Conv2d(high, high, 1), nn.Sigmoid()
        )

    def forward(self, large: Tensor, small: Tensor) -> Tensor:
        """Map (N, high, H, W) and (N, low, h, w) to (N, high, H, W)."""
        scale: Tensor = self.gate(small)  # (N, high, 1, 1) in (0, 1)
        return large * scale


class SkipSequential(nn.Sequential):
    """A sequence in which each :class:`SkipExcitation` also reads the map of ``SKIP`` doublings before."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers to x; every ReLU ends a map."""
        maps: list[Tensor] = []
        for layer in self:
            x = layer(x, maps[-1 - SKIP]) if isinstance(layer, SkipExcitation) else layer(x)
            if isinstance(layer, nn.ReLU):
                maps.append(x)
        return x


class MinibatchStd(nn.Module):
    """Append a map with the standard deviation over a group of examples (Karras et al. 2018, section 3).

    It shows a critic when all samples are similar. Groups are neighbours in the batch, so real and
    generated images that are scored in one pass do not mix.
    """

    group = GROUP

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + 1, H, W)."""
        n, _, height, width = x.shape
        group = self.group if n % self.group == 0 else n
        # Rows are a view of channels last; torch's own var over the group took eight times as long as these two passes.
        rows = x.float().permute(0, 2, 3, 1).reshape(-1, group, x[0].numel())  # (N/G, G, H*W*C)
        variance = (rows - rows.mean(dim=1, keepdim=True)).square().mean(dim=1)
        deviation = (variance + 1e-8).sqrt().mean(dim=1)  # (N/G,)
        channel = deviation.repeat_interleave(group)[:, None, None, None].expand(n, 1, height, width)
        return torch.cat([x, channel.to(x.dtype)], dim=1)
