"""What every rewriting of a graph needs: its constants as arrays, room for new ones, and a way to drop the unused."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

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
    """Put ``nodes`` in the place of the graph's own, and drop the initializers that none of them reads."""
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes, each behind those that it reads, as ONNX has it."""
    known = {"", *(value.name for value in graph.input), *constants(graph)}
    nodes: list[onnx.NodeProto] = []
    left = list(graph.node)
    while ready := [node for node in left if known.issuperset(node.input)]:
        nodes += ready
        known.update(name for node in ready for name in node.output)
        left = [node for node in left if not known.issuperset(node.output)]
    return nodes
