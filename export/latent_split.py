"""Split the latent into a coarse and a fine part, so that bfloat16 represents it without loss.

bfloat16 has 8 significant bits. Rounding the latent causes more error in the image than rounding all feature maps: the
largest pixel error of the shipped digits is 14 levels, and 4 with an exact latent. The first layer therefore reads the
latent rounded to multiples of 1/16, which bfloat16 represents exactly up to 16, concatenated with the remainder. Its
weights are duplicated; it is the smallest layer. In real arithmetic coarse + fine is the latent.
"""

import numpy as np
import onnx
from onnx import helper

from export.surgery import Array, add_constant, attributes, constants, replace_nodes, topologically_sorted
from service.contract import INPUT

COARSE, FINE, BOTH = f"{INPUT}.coarse", f"{INPUT}.fine", f"{INPUT}.both"
STEPS = 16.0  # per unit; with 8 bits, values up to 16 are exact, and a normal latent stays below 6


def split_latent(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model with a split latent, or an unchanged copy if the first layer is not supported.

    Supported are a dense layer and a convolution of the latent as one pixel, (N, Z, 1, 1).
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    move, reader = _readers(graph)
    if reader and _duplicate_weights(graph, reader):
        fine = FINE
        if move:  # along the directions: it moves the fine part
            move.input[:] = [FINE if name == INPUT else name for name in move.input]
            fine = move.output[0]
        reader.input[0] = BOTH
        replace_nodes(graph, [*graph.node, *_split(graph, fine)])
        replace_nodes(graph, topologically_sorted(graph))
    return result


def _readers(graph: onnx.GraphProto) -> tuple[onnx.NodeProto | None, onnx.NodeProto | None]:
    """Return the node that moves the latent along directions, if there is one, and the one node that reads it then."""
    readers = [node for node in graph.node if INPUT in node.input]
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None, readers[0] if len(readers) == 1 else None
    behind = [node for node in graph.node if readers[0].output[0] in node.input]
    return readers[0], behind[0] if len(behind) == 1 else None


def _split(graph: onnx.GraphProto, moved: str) -> list[onnx.NodeProto]:
    """Return the nodes for latent (N, Z) -> coarse and fine part, the latter as ``moved``, concatenated (N, 2 * Z)."""
    up = add_constant(graph, f"{INPUT}.up", np.array(STEPS, np.float32))
    down = add_constant(graph, f"{INPUT}.down", np.array(1 / STEPS, np.float32))
    return [
        helper.make_node("Mul", [INPUT, up], [f"{INPUT}.scaled"]),
        helper.make_node("Round", [f"{INPUT}.scaled"], [f"{INPUT}.rounded"]),
        helper.make_node("Mul", [f"{INPUT}.rounded", down], [COARSE]),
        helper.make_node("Sub", [INPUT, COARSE], [FINE]),
        helper.make_node("Concat", [COARSE, moved], [BOTH], axis=1),
    ]


def _duplicate_weights(graph: onnx.GraphProto, reader: onnx.NodeProto) -> bool:
    """Duplicate the weights of the layer that reads the latent; return False if the layer is not supported."""
    values = constants(graph)
    if reader.op_type == "Reshape":
        return _duplicate_convolution(graph, reader, values)
    given = attributes(reader)
    dense = reader.op_type in ("Gemm", "MatMul") and reader.input[0] not in values and not given.get("transA", 0)
    if not dense or reader.input[1] not in values:
        return False
    _concatenate(graph, reader, values, axis=given.get("transB", 0))
    return True


def _duplicate_convolution(graph: onnx.GraphProto, reshape: onnx.NodeProto, values: dict[str, Array]) -> bool:
    layers = [node for node in graph.node if reshape.output[0] in node.input]
    if [node.op_type for node in layers] != ["Conv"] or layers[0].input[1] not in values:
        return False
    channels = values[layers[0].input[1]].shape[1]
    if reshape.input[1] not in values or list(values[reshape.input[1]][1:]) != [channels, 1, 1]:
        return False
    shape = np.array([-1, 2 * channels, 1, 1], np.int64)
    reshape.input[1] = add_constant(graph, f"{BOTH}.shape", shape)
    _concatenate(graph, layers[0], values, axis=1)
    return True


def _concatenate(graph: onnx.GraphProto, layer: onnx.NodeProto, values: dict[str, Array], axis: int) -> None:
    weights = values[layer.input[1]]
    layer.input[1] = add_constant(graph, f"{BOTH}.weights", np.concatenate([weights, weights], axis))
