"""Helpers for rewriting an ONNX graph: read and add constants, replace and sort nodes, run a single node."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from service.engine import onnx_runtime

Array = NDArray[Any]


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """Return the graph's initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def add_constant(graph: onnx.GraphProto, name: str, value: Array) -> str:
    """Add an initializer and return its name."""
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return name


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Replace the graph's nodes, and remove the initializers that no node reads."""
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def topologically_sorted(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes in topological order, as ONNX requires."""
    known = {"", *(value.name for value in graph.input), *constants(graph)}
    nodes: list[onnx.NodeProto] = []
    left = list(graph.node)
    while ready := [node for node in left if known.issuperset(node.input)]:
        nodes += ready
        known.update(name for node in ready for name in node.output)
        left = [node for node in left if not known.issuperset(node.output)]
    return nodes


def run_node(model: onnx.ModelProto, node: onnx.NodeProto, values: Mapping[str, Array]) -> dict[str, Array]:
    """Run a single node on the CPU and return its outputs by name; ``values`` holds its inputs."""
    feeds = {name: values[name] for name in node.input if name}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "node", inputs, outputs)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = onnx_runtime.load().InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(node.output, session.run(None, feeds), strict=True))


def fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model in which each node that reads only constants is replaced by its result.

    torch's exporter does not fold large ones, such as a kernel that is computed from a layer's weights.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    values, nodes = constants(graph), []
    for node in graph.node:
        if node.input and all(name in values for name in node.input if name):
            made = run_node(model, node, values)
            values.update(made)
            for name, value in made.items():
                add_constant(graph, name, value)
        else:
            nodes.append(node)
    replace_nodes(graph, nodes)
    return result


def subgraph(model: onnx.ModelProto, inputs: dict[str, list[int | str]], outputs: list[str]) -> onnx.ModelProto:
    """Return the part of a graph that computes float values ``outputs`` from ``inputs``, whose shapes are given.

    An input of the whole graph that the part reads, such as ``label``, stays an input.
    """
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    needed = set(outputs)
    for node in reversed(graph.node):
        if needed.intersection(node.output) and not inputs.keys() >= set(node.output):
            nodes.insert(0, node)
            needed.update(name for name in node.input if name not in inputs)
    given = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    given += [value for value in graph.input if value.name in needed and value.name not in inputs]
    made = [helper.make_empty_tensor_value_info(name) for name in outputs]
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    part = helper.make_graph(nodes, "part", given, made, weights)
    return helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
