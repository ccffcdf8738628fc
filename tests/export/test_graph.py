import functools
from collections.abc import Callable

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.batch_norm import FILTERS, fold_batch_norm
from export.graph import Pixels, trace
from export.latent_split import split_latent
from export.onnx_file import _serialise
from export.subpixel import to_subpixel
from export.surgery import attributes, constants
from export.verify import verify
from tests import tiny
from tests.training.conftest import tiny_recipe
from training import networks
from training import recipe as recipes
from training.run import Snapshot


def randomise_statistics(generator: nn.Module) -> nn.Module:
    """Give BatchNorm random statistics, so that a wrong fold changes the images."""
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.2, 3)
            if layer.affine:
                nn.init.normal_(layer.bias)
    return generator.eval().requires_grad_(False)


def trained(name: str, size: int = 16, **settings: object) -> nn.Module:
    torch.manual_seed(3)
    changes = ["generator.width=8", *(f"{key.replace('__', '.')}={value}" for key, value in settings.items())]
    return randomise_statistics(networks.build_generator(recipes.load(name, changes, images__size=size)))


class Modulated(nn.Module):
    """A mapping network that scales the channels of each layer, and BatchNorm with and without scale and shift."""

    def __init__(self, latent_dim: int = 16, channels: int = 1, width: int = 12) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(latent_dim, 32), nn.BatchNorm1d(32), nn.LeakyReLU(0.2))
        self.constant = nn.Parameter(torch.randn(1, width, 4, 4))
        self.styles = nn.ModuleList(nn.Linear(32, width) for _ in range(2))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(width, width, 4, 2, 1) for _ in range(2))
        self.norms = nn.ModuleList([nn.BatchNorm2d(width, affine=False), nn.BatchNorm2d(width)])
        self.grouped = nn.Conv2d(width, width, 3, padding=1, groups=3)
        self.between = nn.BatchNorm2d(width, affine=False)
        self.to_image = nn.Conv2d(width, channels, 1)

    def forward(self, latent: Tensor) -> Tensor:
        style = self.mapping(latent)
        x = self.constant
        for scale, grow, norm in zip(self.styles, self.grow, self.norms, strict=True):
            x = norm(grow(x * (1 + scale(style))[:, :, None, None])).relu()
        return torch.tanh(self.to_image(self.between(self.grouped(x)) + x))


@functools.cache
def modulated() -> tuple[Pixels, bytes]:
    """Return such a generator and its graph."""
    torch.manual_seed(0)
    pixels = Pixels(randomise_statistics(Modulated()))
    return pixels, trace(pixels, 16).SerializeToString()


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def unfolded(model: onnx.ModelProto) -> list[str]:
    """Name the BatchNormalizations that read a convolution of one group, and the nodes that read only constants."""
    values = constants(model.graph)
    layers = {
        node.output[0] for node in model.graph.node if node.op_type in FILTERS and attributes(node).get("group", 1) == 1
    }
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization" and node.input[0] in layers]
    fixed = [node for node in model.graph.node if all(name in values for name in node.input)]
    return [node.name for node in (*norms, *fixed)]


@pytest.mark.parametrize("rewrite", [lambda model: model, to_subpixel, split_latent])
def test_a_generator_that_is_not_a_sequential_is_exported(
    rewrite: Callable[[onnx.ModelProto], onnx.ModelProto],
) -> None:
    pixels, data = modulated()
    model = rewrite(onnx.load_model_from_string(data))
    assert not unfolded(model)
    verify(model.SerializeToString(), pixels, 16)


@pytest.mark.slow  # 1.5 s
def test_a_run_of_a_generator_that_is_not_a_sequential_becomes_a_model_file() -> None:
    snapshot = Snapshot(randomise_statistics(Modulated()), tiny_recipe(), images_seen=1)
    data = _serialise(snapshot, tiny.card(latent_dim=16))
    assert operators(onnx.load_model_from_string(data))[-1] == "Transpose"


@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_is_folded_with_and_without_scale_and_shift(affine: bool) -> None:
    torch.manual_seed(0)
    layers = [
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=affine), nn.LeakyReLU()),
        *(nn.ConvTranspose2d(4, 4, 3, bias=False), nn.BatchNorm2d(4, affine=affine), nn.Tanh()),
    ]
    pixels = Pixels(randomise_statistics(nn.Sequential(nn.Unflatten(1, (1, 4, 4)), *layers)))
    model = fold_batch_norm(trace(pixels, 16))
    assert "BatchNormalization" not in operators(model)
    verify(model.SerializeToString(), pixels, 16)


def test_the_head_scales_clamps_rounds_and_moves_channels_last() -> None:
    levels = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0]).reshape(1, 3, 1, 2)
    (pixels,) = Pixels(nn.Identity())(levels)
    assert pixels.tolist() == [[[0, 64, 191], [0, 128, 255]]]  # (1, 2, 3): 63.75, 127.5 and 191.25 rounded
