"""A model file as a torch module, through which gradients flow, for models of which no run is left.

It covers the operators that ``python -m export`` writes for the generators of this package.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from training.errors import InputError

OFF = {"truncation": 1.0, "directions": 0.0}  # inputs of a model file, and the values that leave an image as it is
Attributes = dict[str, Any]


class OnnxGenerator(nn.Module):
    """Latent (N, Z) and, if there are classes, label (N,) -> image (N, C, H, W) in [-1, 1], as the graph draws it."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        super().__init__()
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self._graph = model.graph
        if unknown := {node.op_type for node in self._graph.node} - OPERATORS.keys():
            raise InputError(f"{name} has operators without gradients here: {', '.join(sorted(unknown))}")
        arrays = {one.name: numpy_helper.to_array(one) for one in self._graph.initializer}
        self._constants = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self._inputs = {value.name: value.type.tensor_type.shape.dim for value in self._graph.input}

    @classmethod
    def read(cls, path: Path) -> "OnnxGenerator":
        """Open a model file; raises InputError."""
        try:
            return cls(onnx.load_model(path), str(path))
        except (OSError, DecodeError) as error:
            raise InputError(f"{path} cannot be read as an ONNX model") from error

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, Z) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        (image,) = self.values(["image"], latents, labels)
        return image.permute(0, 3, 1, 2) / 127.5 - 1  # (N, H, W, C) in levels

    def values(self, names: Sequence[str], latents: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Return values (N, …) that the graph computes of latents (N, Z) and labels (N,), and nothing beyond them."""
        values = self._constants | {"latent": latents}
        if labels is not None:
            values["label"] = labels
        for name in self._inputs.keys() & OFF.keys():
            shape = [len(latents), *(dim.dim_value for dim in list(self._inputs[name])[1:])]
            values[name] = torch.full(shape, OFF[name])
        for node in self._graph.node:
            if values.keys() >= set(names):
                break
            given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            made = OPERATORS[node.op_type]([values[name] if name else None for name in node.input], given)
            values.update(zip(node.output, made if isinstance(made, Sequence) else [made], strict=True))
        return [values[name] for name in names]


def _conv(inputs: list[Any], given: Attributes) -> Tensor:
    x, weight, *bias = inputs
    pads = given.get("pads", [0] * 4)
    x = functional.pad(x, (pads[1], pads[3], pads[0], pads[2]))
    options = {"stride": given.get("strides", 1), "dilation": given.get("dilations", 1)}
    return functional.conv2d(x, weight, bias[0] if bias else None, groups=given.get("group", 1), **options)


def _conv_transpose(inputs: list[Any], given: Attributes) -> Tensor:
    x, weight, *bias = inputs
    pads = given.get("pads", [0] * 4)  # top, left, bottom, right
    made = functional.conv_transpose2d(
        x,
        weight,
        bias[0] if bias else None,
        stride=given.get("strides", 1),
        output_padding=given.get("output_padding", 0),
        groups=given.get("group", 1),
        dilation=given.get("dilations", 1),
    )
    return made[:, :, pads[0] : made.shape[2] - pads[2], pads[1] : made.shape[3] - pads[3]]


def _gemm(inputs: list[Any], given: Attributes) -> Tensor:
    x, weight, *bias = inputs
    product = given.get("alpha", 1.0) * (x @ (weight.T if given.get("transB") else weight))
    total: Tensor = product + given.get("beta", 1.0) * bias[0] if bias else product
    return total


def _batch_norm(inputs: list[Any], given: Attributes) -> Tensor:
    x, scale, shift, mean, variance = inputs
    normed: Tensor = functional.batch_norm(x, mean, variance, scale, shift, eps=given.get("epsilon", 1e-5))
    return normed


def _reduce_mean(inputs: list[Any], given: Attributes) -> Tensor:
    axes = inputs[1].tolist() if len(inputs) > 1 else given["axes"]
    mean: Tensor = inputs[0].mean(dim=axes, keepdim=bool(given.get("keepdims", 1)))
    return mean


def _reshape(inputs: list[Any], given: Attributes) -> Tensor:
    x, shape = inputs[0], inputs[1].tolist()
    reshaped: Tensor = x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])
    return reshaped


def _unsqueeze(inputs: list[Any], given: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    for axis in sorted(inputs[1].tolist()):
        x = x.unsqueeze(axis)
    return x


def _split(inputs: list[Any], given: Attributes) -> Sequence[Tensor]:
    x, axis = inputs[0], given.get("axis", 0)
    if len(inputs) > 1:
        return torch.split(x, inputs[1].tolist(), dim=axis)
    return torch.chunk(x, given["num_outputs"], dim=axis)


def _average_pool(inputs: list[Any], given: Attributes) -> Tensor:
    pads = given.get("pads", [0] * 4)
    return functional.avg_pool2d(inputs[0], given["kernel_shape"], given.get("strides", 1), pads[:2])


def _round(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()  # the gradient of the identity


def _plain(function: Callable[..., Tensor]) -> Callable[[list[Any], Attributes], Tensor]:
    return lambda inputs, given: function(*inputs)


OPERATORS: dict[str, Callable[[list[Any], Attributes], Tensor | Sequence[Tensor]]] = {
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda inputs, given: inputs[0],  # at the end alone, of what is rounded
    "Clip": _plain(torch.clamp),
    "Concat": lambda inputs, given: torch.cat(inputs, dim=given["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _plain(torch.div),
    "Gather": lambda inputs, given: inputs[0][inputs[1]],  # of an embedding's rows
    "Gemm": _gemm,
    "LeakyRelu": lambda inputs, given: functional.leaky_relu(inputs[0], given.get("alpha", 0.01)),
    "MatMul": _plain(torch.matmul),
    "Max": _plain(torch.maximum),
    "Min": _plain(torch.minimum),
    "Mul": _plain(torch.mul),
    "Pow": _plain(torch.pow),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceMean": _reduce_mean,
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Round": _plain(_round),
    "Sigmoid": _plain(torch.sigmoid),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Sub": _plain(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": lambda inputs, given: inputs[0].permute(*given["perm"]),
    "Unsqueeze": _unsqueeze,
}
