"""A trained generator -> an ONNX graph that takes latents and returns finished pixels."""

import logging
import warnings

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from export.errors import ExportError
from service.contract import INPUT, OUTPUT

OPSET = 20


class Pixels(nn.Module):
    """A generator with the head that the contract asks for: latent (N, Z) -> image (N, H, W, C) uint8."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latent: Tensor) -> Tensor:
        """Scale [-1, 1] to levels, clamp, round half to even and move channels last."""
        levels: Tensor = ((self.generator(latent) + 1) * 127.5).clamp(0, 255).round()
        return levels.to(torch.uint8).permute(0, 2, 3, 1)


def fold_batch_norm(generator: nn.Module) -> nn.Module:
    """Return the same function without BatchNorm: its scale and shift go into the convolution before it.

    A generator that is no chain of layers is returned as it is.

    Raises:
        ExportError: a BatchNorm follows something else.
    """
    if not isinstance(generator, nn.Sequential):
        return generator.eval()
    layers: list[nn.Module] = []
    for layer in generator.eval().children():
        if not isinstance(layer, nn.BatchNorm2d):
            layers.append(layer)
        elif isinstance(layers[-1], nn.Conv2d | nn.ConvTranspose2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer, transpose=isinstance(layers[-1], nn.ConvTranspose2d))
        else:
            raise ExportError(f"BatchNorm follows {type(layers[-1]).__name__}, and only a convolution can take it up")
    return type(generator)(*layers)


def trace(pixels: Pixels, latent_dim: int) -> onnx.ModelProto:
    """Trace the module at batch 2 into one graph of standard operators with a dynamic batch."""
    # The exporter warns of its own internals, and of torchvision, which nothing here uses.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            pixels.eval(),
            (torch.zeros(2, latent_dim),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 (None only where a file name is given)
    model = program.model_proto
    _forget_origins(model.graph)
    return model


def _forget_origins(graph: onnx.GraphProto) -> None:
    """Drop the exporter's notes: stack traces with the paths of the machine that trained."""
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")
