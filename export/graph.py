"""Trace a trained generator into an ONNX graph from latents, and labels if there are classes, to uint8 pixels."""

import logging
import warnings
from collections.abc import Mapping

import onnx
import torch
from torch import Tensor, nn

from export.batch_norm import fold_batch_norm
from export.surgery import fold_constants
from service.contract import INPUT, LABEL, OUTPUT

OPSET = 20


class Pixels(nn.Module):
    """A generator with the contract's output: latent (N, Z) and, with classes, label (N,) -> (N, H, W, C) uint8."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Scale [-1, 1] to levels, clamp, round half to even and move channels last."""
        drawn = self.generator(latent) if label is None else self.generator(latent, label)
        levels: Tensor = ((drawn + 1) * 127.5).clamp(0, 255).round()
        return levels.to(torch.uint8).permute(0, 2, 3, 1)


def trace(pixels: Pixels, latent_dim: int, *, classes: bool = False) -> onnx.ModelProto:
    """Trace the module at batch size 2 into a graph of standard operators with a dynamic batch and folded BatchNorm.

    With ``classes`` the graph has an input ``label``, which is not checked: whoever runs it does.
    """
    inputs = {INPUT: torch.zeros(2, latent_dim)}
    if classes:
        inputs[LABEL] = torch.zeros(2, dtype=torch.int64)
    return trace_module(pixels, inputs, OUTPUT)


def trace_module(module: nn.Module, inputs: Mapping[str, Tensor], output: str) -> onnx.ModelProto:
    """Trace a module with one output; ``inputs`` are examples of its arguments by name, each a batch of two."""
    batch = torch.export.Dim("N")
    # The exporter warns about its own internals and about torchvision, which is not used here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 (None only where a file name is given)
    model = fold_batch_norm(fold_constants(program.model_proto))
    _clear_metadata(model.graph)
    return model


def _clear_metadata(graph: onnx.GraphProto) -> None:
    """Remove the exporter's stack traces; they contain file paths of this machine."""
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")
