"""Fold BatchNormalization into the weights of the convolution before it."""

import numpy as np
import onnx

from export.surgery import Array, add_constant, attributes, constants, replace_nodes

FILTERS = {"Conv": 0, "ConvTranspose": 1}  # axis of the output channels in the weights


def fold_batch_norm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model in which each BatchNormalization directly after a convolution is folded into it.

    The convolution must have one group, constant weights, and no other reader. Any other BatchNormalization, such as
    one after an activation or a grouped convolution, is kept.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "BatchNormalization" and (layer := _layer(graph, nodes, node)):
            _fold(graph, layer, node)
        else:
            nodes.append(node)
    replace_nodes(graph, nodes)
    return result


def _layer(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], norm: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the convolution that ``norm`` can be folded into, or None."""
    values = constants(graph).keys()
    for layer in nodes:
        if layer.output[0] == norm.input[0]:
            readers = [node for node in graph.node if layer.output[0] in node.input]
            single = layer.op_type in FILTERS and attributes(layer).get("group", 1) == 1 and len(readers) == 1
            return layer if single and {*layer.input[1:], *norm.input[1:]} <= values else None
    return None


def _fold(graph: onnx.GraphProto, layer: onnx.NodeProto, norm: onnx.NodeProto) -> None:
    values = constants(graph)
    scale, shift, mean, variance = (values[name] for name in norm.input[1:])
    factor: Array = scale / np.sqrt(variance + attributes(norm).get("epsilon", 1e-5))
    weights, bias = values[layer.input[1]], values[layer.input[2]] if len(layer.input) > 2 else np.zeros_like(mean)
    shape = [1] * weights.ndim
    shape[FILTERS[layer.op_type]] = -1
    output = norm.output[0]
    layer.input[1:] = [
        add_constant(graph, f"{output}.folded", (weights * factor.reshape(shape)).astype(weights.dtype)),
        add_constant(graph, f"{output}.shift", ((bias - mean) * factor + shift).astype(weights.dtype)),
    ]
    layer.output[0] = output
