"""What a graph needs and mixes, worked out from shapes alone: memory for a batch, and whether rows stay apart.

Shapes are inferred by onnx, with the batch set to a number that no dimension of the graph happens to be. Weights are
left out of what it is given, so that a file of any size costs little here.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from service.contract.card import as_line
from service.contract.operators import FLOATS, MAX_RANK, OPERATORS, TYPES, attributes_of
from service.contract.refusals import ContractError, Refusal

BATCHES = (
    1009,
    2003,
)  # primes: a dimension of the graph cannot be equal to both
MAX_STORED = 256  # elements of a constant that onnx is shown: shapes, axes, scales
MAX_NODES = 4096

_SIZES: Mapping[int, int] = {
    TensorProto.DOUBLE: 8,
    TensorProto.INT64: 8,
    TensorProto.UINT8: 1,
    TensorProto.INT8: 1,
    TensorProto.BOOL: 1,
}
Dims = tuple[int, ...]
Stored = Mapping[str, NDArray[Any]]


class Value(NamedTuple):
    """What is known of a value of the graph."""

    element: int  # a TensorProto.DataType
    dims: Dims
    by_rows: bool  # whether it depends on an input of the graph, and so has the batch as its first dimension

    def bytes(self, batch: int) -> int:
        """Return its size where the batch is ``batch``; a half counts as float32, which CPUs compute it in."""
        dims = (batch, *self.dims[1:]) if self.by_rows else self.dims
        return math.prod(dims) * _SIZES.get(self.element, 4)


class ShapeError(ContractError):
    """The shapes cannot be worked out, or mix the rows of a batch; the message does not name the file."""


class Call(NamedTuple):
    """A node with what is known of its operands; an input that is left out is None."""

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
    inputs: Sequence[Value | None]
    output: Value
    stored: Sequence[Sequence[int] | None]  # of each input, the numbers where it is a small constant

    def axes(self, given: Any) -> list[int]:
        """Return axes counted from the front of the first input."""
        rank = len(self.inputs[0].dims) if self.inputs[0] else 0
        return [axis % rank if rank else axis for axis in ([given] if isinstance(given, int) else given)]


def read_stored(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Return the small constants of the graph by name: initializers, Constants, and casts of them to float32.

    The casts are what ONNX Runtime's conversion to float16 leaves of the scales of a Resize.
    """
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if _is_small(tensor)}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            value = next(iter(attributes_of(node).values()), None)
            tensor = value if isinstance(value, TensorProto) else _tensor(value)
            if _is_small(tensor):
                stored[node.output[0]] = numpy_helper.to_array(tensor)
        elif _is_cast_of(stored, node):
            stored[node.output[0]] = stored[node.input[0]].astype(np.float32)
    return stored


def _is_cast_of(stored: Stored, node: onnx.NodeProto) -> bool:
    known = node.op_type == "Cast" and len(node.input) == len(node.output) == 1 and node.input[0] in stored
    return known and attributes_of(node).get("to") == TensorProto.FLOAT


def _tensor(value: Any) -> TensorProto:
    numbers = np.asarray(value)
    return numpy_helper.from_array(numbers.astype(np.int64 if numbers.dtype.kind == "i" else np.float32))


def _is_small(tensor: TensorProto) -> bool:
    return (
        len(tensor.dims) <= 1 and math.prod(tensor.dims) <= MAX_STORED and tensor.data_location != TensorProto.EXTERNAL
    )


def infer(model: onnx.ModelProto, stored: Stored) -> dict[str, Value]:
    """Return what is known of every value of the graph, by name; ``dims`` are those at the first of ``BATCHES``.

    Raises:
        ShapeError: a shape cannot be worked out, or a node mixes the rows of its batch.
    """
    first, second = (dict(_infer(model, stored, batch)) for batch in BATCHES)
    values = {tensor.name: Value(tensor.data_type, tuple(tensor.dims), False) for tensor in model.graph.initializer}
    values |= {value.name: Value(*first[value.name], True) for value in model.graph.input}
    for node in model.graph.node:
        by_rows = any(name in values and values[name].by_rows for name in node.input)
        for name in filter(None, node.output):
            if name in stored:
                values[name] = Value(helper.np_dtype_to_tensor_dtype(stored[name].dtype), stored[name].shape, False)
                continue
            if name not in first or name in values:
                raise ShapeError(Refusal.BAD_GRAPH, f"the shape of {name} cannot be worked out")
            (element, dims), other = first[name], second[name][1]
            rest = dims[1:] == other[1:] and (dims[:1], other[:1]) == ((BATCHES[0],), (BATCHES[1],))
            if not (rest if by_rows else dims == other):
                raise ShapeError(
                    Refusal.ROWS_MIXED, f"{node.op_type} makes {name} of {list(dims)} for a batch of {BATCHES[0]}"
                )
            values[name] = Value(element, dims, by_rows)
        if node.output[0] not in stored:
            _check_node(node, values, stored)
    return values


def _infer(model: onnx.ModelProto, stored: Stored, batch: int) -> Iterator[tuple[str, tuple[int, Dims]]]:
    """Yield name, (element, dims) of each value for a batch."""
    try:
        skeleton = _skeleton(model, stored, batch)
        onnx.checker.check_model(skeleton)
        inferred = shape_inference.infer_shapes(skeleton, check_type=True, strict_mode=True).graph
    except Exception as error:  # of many kinds, in onnx's C++
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason")
        raise ShapeError(Refusal.BAD_GRAPH, f"the shapes in the graph cannot be followed: {as_line(reason)}") from error
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        tensor = value.type.tensor_type
        dims = tuple(dim.dim_value for dim in tensor.shape.dim)
        if value.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
            raise ShapeError(Refusal.BAD_GRAPH, f"the shape of {value.name} cannot be worked out")
        if not all(dim > 0 for dim in dims) or len(dims) > MAX_RANK:
            raise ShapeError(Refusal.BAD_GRAPH, f"{value.name} would be {list(dims)}")
        if tensor.elem_type not in TYPES:
            raise ShapeError(Refusal.OPERATOR_NOT_ALLOWED, f"{value.name} has a type that is not served")
        yield value.name, (tensor.elem_type, dims)


def _skeleton(model: onnx.ModelProto, stored: Stored, batch: int) -> onnx.ModelProto:
    """Return the graph without its weights, which become inputs, for a fixed batch."""
    graph = onnx.GraphProto(name="skeleton")
    for node in model.graph.node:
        if node.op_type != "Constant" and node.output[0] not in stored:
            graph.node.add().CopyFrom(node)
    for given, kept in ((model.graph.input, graph.input), (model.graph.output, graph.output)):
        kept.extend(given)
        for value in kept:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    large = {tensor.name: (tensor.data_type, tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] not in stored:
            tensor = node.attribute[0].t
            large[node.output[0]] = tensor.data_type, tensor.dims
    for name, array in stored.items():
        large.pop(name, None)
        graph.initializer.append(numpy_helper.from_array(array, name))
    for name, (element, dims) in large.items():
        graph.input.append(helper.make_tensor_value_info(name, element, list(dims)))
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


def _check_node(node: onnx.NodeProto, values: Mapping[str, Value], stored: Stored) -> None:
    """Refuse a node that mixes rows, or computes on types that it must not; raises ShapeError."""
    inputs = [values[name] if name else None for name in node.input]
    operator, output = OPERATORS[node.op_type], values[node.output[0]]
    if operator.floats and any(value and value.element not in FLOATS for value in inputs):
        raise ShapeError(Refusal.OPERATOR_NOT_ALLOWED, f"a {node.op_type} of whole numbers is not served")
    for position in operator.fixed:
        if position < len(inputs) and (value := inputs[position]) and value.by_rows:
            raise ShapeError(
                Refusal.OPERATOR_NOT_ALLOWED,
                f"a {node.op_type} takes {node.input[position]} from an input of the graph",
            )
    if output.by_rows:
        numbers = [stored[name].reshape(-1).tolist() if name in stored else None for name in node.input]
        call = Call(node, attributes_of(node), inputs, output, numbers)
        if not _ROWS.get(node.op_type, _same_rank)(call):
            raise ShapeError(Refusal.ROWS_MIXED, f"a {node.op_type} may mix the images of a batch, at {node.output[0]}")


def _same_rank(call: Call) -> bool:
    """Broadcasting aligns shapes at their end: an operand of lower rank would lay its rows along another axis."""
    return all(not value or not value.by_rows or len(value.dims) == len(call.output.dims) for value in call.inputs)


def _always(call: Call) -> bool:
    return True


def _off_rows(default: int) -> Callable[[Call], bool]:
    return lambda call: 0 not in call.axes(call.attributes.get("axis", default))


def _reduces(call: Call) -> bool:
    given = call.attributes.get("axes") or (call.stored[1] if len(call.stored) > 1 else None)
    return bool(given) and 0 not in call.axes(given)


def _slices(call: Call) -> bool:
    return len(call.stored) > 3 and call.stored[3] is not None and 0 not in call.axes(call.stored[3])


def _pads(call: Call) -> bool:
    amounts = call.stored[1] or []
    return len(call.stored) < 4 and len(amounts) > 1 and amounts[0] == amounts[len(amounts) // 2] == 0


def _resizes(call: Call) -> bool:
    if "axes" in call.attributes:
        return 0 not in call.axes(call.attributes["axes"])
    return len(call.stored) > 2 and (call.stored[2] or [0])[0] == 1


def _multiplies(call: Call) -> bool:
    right = call.inputs[1]
    return _same_rank(call) and not (right and right.by_rows and len(right.dims) < 3)


def _gathers(call: Call) -> bool:
    data_by_rows, indices_by_rows = (value is not None and value.by_rows for value in call.inputs)
    return not data_by_rows or not (indices_by_rows or 0 in call.axes(call.attributes.get("axis", 0)))


def _squeezes(call: Call) -> bool:
    return len(call.stored) > 1 and call.stored[1] is not None and 0 not in call.axes(call.stored[1])


# Why rows stay apart, by operator; _same_rank for all others. Each relies on the first dimension of what depends on an
# input being the batch, before and after, which infer() has made sure of.
_ROWS: Mapping[str, Callable[[Call], bool]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"), _always),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "GroupNormalization"), _always),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "Flatten", "Reshape", "OneHot", "Unsqueeze"), _always),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LpNormalization", "LayerNormalization"), _off_rows(-1)),
    **dict.fromkeys((name for name in OPERATORS if name.startswith("Reduce")), _reduces),
    "Concat": lambda call: _off_rows(1)(call) and _same_rank(call),
    "DequantizeLinear": _off_rows(1),
    "Gather": _gathers,
    "MatMul": _multiplies,
    "Pad": _pads,
    "QuantizeLinear": _off_rows(1),
    "Resize": _resizes,
    "Slice": _slices,
    "Split": _off_rows(0),
    "Squeeze": _squeezes,
    "Tile": lambda call: (call.stored[1] or [0])[0] == 1,
    "Transpose": lambda call: (call.attributes.get("perm") or [-1])[0] == 0,
}


def peak_bytes(graph: onnx.GraphProto, values: Mapping[str, Value], batch: int) -> tuple[int, str]:
    """Return the most bytes that are held at once, weights apart, and at which value; what nobody reads is let go."""
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    held = {value.name: values[value.name].bytes(batch) for value in graph.input}
    now = peak = sum(held.values())
    where = graph.input[0].name
    for index, node in enumerate(graph.node):
        made = {name: values[name].bytes(batch) for name in filter(None, node.output)}
        held |= made
        now += sum(made.values())
        if now > peak:
            peak, where = now, node.output[0]
        over = {name for name in {*node.input, *node.output} if last.get(name, -1) <= index}
        now -= sum(held.pop(name, 0) for name in over)
    return peak, where
