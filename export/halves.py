"""The latent in two halves, coarse and fine, so that bfloat16 loses nothing of it.

bfloat16 keeps 8 bits of a number. What that loses of the latent costs a trained generator more than what it loses of
all the maps that follow: the shipped digits were up to 14 levels off, and are 4 with their latent whole. So the first
layer reads the latent rounded to sixteenths, which bfloat16 holds exactly up to 16, and beside it the rest. Its weights
stand there twice, but it is the smallest layer. In real arithmetic the two halves' sum is the latent.
"""

import numpy as np
import onnx
from onnx import helper

from export.surgery import Array, add_constant, attributes, constants, replace_nodes
from service.contract import INPUT

COARSE, FINE, BOTH = f"{INPUT}.coarse", f"{INPUT}.fine", f"{INPUT}.both"
STEPS = 16.0  # in a unit: with 8 bits, up to 16 units are exact, and a normal latent has none beyond 6


def split_latent(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function with its latent split, or the same graph where its first layer is none that is known.

    Known are a dense layer and a convolution of the latent as one pixel, (N, Z, 1, 1).
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    readers = [node for node in graph.node if INPUT in node.input]
    if len(readers) == 1 and _double(graph, readers[0]):
        readers[0].input[0] = BOTH
        replace_nodes(graph, [*_split(graph), *graph.node])
    return result


def _split(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return latent (N, Z) -> both (N, 2 * Z): first the sixteenths, then the rest."""
    up = add_constant(graph, f"{INPUT}.up", np.array(STEPS, np.float32))
    down = add_constant(graph, f"{INPUT}.down", np.array(1 / STEPS, np.float32))
    return [
        helper.make_node("Mul", [INPUT, up], [f"{INPUT}.scaled"]),
        helper.make_node("Round", [f"{INPUT}.scaled"], [f"{INPUT}.rounded"]),
        helper.make_node("Mul", [f"{INPUT}.rounded", down], [COARSE]),
        helper.make_node("Sub", [INPUT, COARSE], [FINE]),
        helper.make_node("Concat", [COARSE, FINE], [BOTH], axis=1),
    ]


def _double(graph: onnx.GraphProto, reader: onnx.NodeProto) -> bool:
    """Give the layer that reads the latent each weight twice; False where it is none that is known."""
    values = constants(graph)
    if reader.op_type == "Reshape":
        return _double_pixel(graph, reader, values)
    given = attributes(reader)
    dense = reader.op_type in ("Gemm", "MatMul") and reader.input[0] == INPUT and not given.get("transA", 0)
    if not dense or reader.input[1] not in values:
        return False
    _repeat(graph, reader, values, axis=given.get("transB", 0))
    return True


def _double_pixel(graph: onnx.GraphProto, reshape: onnx.NodeProto, values: dict[str, Array]) -> bool:
    layers = [node for node in graph.node if reshape.output[0] in node.input]
    if [node.op_type for node in layers] != ["Conv"] or layers[0].input[1] not in values:
        return False
    channels = values[layers[0].input[1]].shape[1]
    if reshape.input[1] not in values or list(values[reshape.input[1]][1:]) != [channels, 1, 1]:
        return False
    shape = np.array([-1, 2 * channels, 1, 1], np.int64)
    reshape.input[1] = add_constant(graph, f"{BOTH}.shape", shape)
    _repeat(graph, layers[0], values, axis=1)
    return True


def _repeat(graph: onnx.GraphProto, layer: onnx.NodeProto, values: dict[str, Array], axis: int) -> None:
    weights = values[layer.input[1]]
    layer.input[1] = add_constant(graph, f"{BOTH}.weights", np.concatenate([weights, weights], axis))
