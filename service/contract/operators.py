"""The operators that a model file may use: feed-forward ones, with bounds on their attributes.

What is not named here is refused. No operator here loops, branches, keeps sequences or strings, draws random numbers,
or makes an output whose shape depends on more than shapes and stored constants. The bounds are far beyond what
generators need, and within what ONNX Runtime's kernels were seen to take: a ``ConvTranspose`` of 0 groups, an integer
division by 0 and an ``Attention`` of 0 heads each end the process (ONNX Runtime 1.31).
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import onnx
from onnx import TensorProto, helper

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
TYPES = FLOATS | {TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
MAX_RANK = 6
MAX_OPERANDS = 64  # inputs, or outputs, of one node


class Int(NamedTuple):
    """A whole number in [low, high]."""

    low: int
    high: int

    def allows(self, value: Any) -> bool:
        """Return whether the attribute's value is within the bounds."""
        return isinstance(value, int) and self.low <= value <= self.high


class Ints(NamedTuple):
    """At most 2 * MAX_RANK whole numbers, each in [low, high]."""

    low: int
    high: int

    def allows(self, value: Any) -> bool:
        """Return whether the attribute's value is within the bounds."""
        return isinstance(value, list) and len(value) <= 2 * MAX_RANK and all(Int(*self).allows(one) for one in value)


class Float(NamedTuple):
    """A finite number of at most this size."""

    high: float = 1e6

    def allows(self, value: Any) -> bool:
        """Return whether the attribute's value is within the bounds."""
        return isinstance(value, float) and math.isfinite(value) and abs(value) <= self.high


class OneOf(tuple[bytes, ...]):
    """One of these strings."""

    def allows(self, value: Any) -> bool:
        """Return whether the attribute's value is one of them."""
        return value in self


class Constant(NamedTuple):
    """A tensor of an allowed type, or a few plain numbers."""

    def allows(self, value: Any) -> bool:
        """Return whether the attribute's value is a number, at most 256 numbers, or a tensor of an allowed type."""
        if isinstance(value, TensorProto):
            return value.data_type in TYPES
        return isinstance(value, int | float) or (isinstance(value, list) and 0 < len(value) <= 256)


Bound = Int | Ints | Float | OneOf | Constant
Attributes = Mapping[str, Bound]


class Operator(NamedTuple):
    """What a node of one type may have.

    Attributes:
        attributes: the attributes that it may carry, with their bounds.
        stored: inputs, by position, that are constants in the file: they set the shape of the output.
        fixed: inputs, by position, that do not depend on an input of the graph: weights, slopes, scales.
        floats: whether it is refused for integers, of which some cannot be divided.
        outputs: most outputs.
    """

    attributes: Attributes = MappingProxyType({})
    stored: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()
    floats: bool = False
    outputs: int = 1


_FLAG, _AXIS, _EPSILON = Int(0, 1), Int(-MAX_RANK, MAX_RANK - 1), Float(1.0)
_AXES = Ints(-MAX_RANK, MAX_RANK - 1)
_PADDING: Attributes = {"auto_pad": OneOf((b"NOTSET", b"VALID", b"SAME_UPPER", b"SAME_LOWER")), "pads": Ints(0, 1024)}
_WINDOW: Attributes = {**_PADDING, "kernel_shape": Ints(1, 1024), "strides": Ints(1, 64), "dilations": Ints(1, 64)}
_CONV: Attributes = {**_WINDOW, "group": Int(1, 4096)}
_POOL: Attributes = {**_WINDOW, "ceil_mode": _FLAG}
_REDUCE = Operator({"axes": _AXES, "keepdims": _FLAG, "noop_with_empty_axes": Int(0, 0)}, stored=(1,))
_PLAIN = Operator()
_FLOAT = Operator(floats=True)
_BROADCAST = ("Add", "Sub", "Mul", "Min", "Max", "Sum", "Mean", "And", "Or", "Not", "Xor", "Where", "Identity")
_COMPARE = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_CURVES = (
    "Abs",
    "Ceil",
    "Cos",
    "Erf",
    "Exp",
    "Floor",
    "HardSwish",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
)
_MORE_CURVES = ("Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")
_RESIZE: Attributes = {
    "mode": OneOf((b"nearest", b"linear", b"cubic")),
    "coordinate_transformation_mode": OneOf((b"asymmetric", b"half_pixel", b"pytorch_half_pixel", b"align_corners")),
    "nearest_mode": OneOf((b"floor", b"ceil", b"round_prefer_floor", b"round_prefer_ceil")),
    "axes": _AXES,
    "antialias": _FLAG,
    "cubic_coeff_a": Float(1.0),
    "exclude_outside": _FLAG,
    "extrapolation_value": Float(),
    "keep_aspect_ratio_policy": OneOf((b"stretch",)),
}

OPERATORS: Mapping[str, Operator] = {
    **dict.fromkeys((*_BROADCAST, *_COMPARE), _PLAIN),
    **dict.fromkeys((*_CURVES, *_MORE_CURVES), _FLOAT),
    **dict.fromkeys(_REDUCTIONS, _REDUCE),
    "AveragePool": Operator({**_POOL, "count_include_pad": _FLAG}),
    "BatchNormalization": Operator(
        {"epsilon": _EPSILON, "momentum": Float(1.0), "training_mode": Int(0, 0)}, fixed=(1, 2, 3, 4)
    ),
    "Cast": Operator({"to": Int(1, TensorProto.BFLOAT16), "saturate": _FLAG}),
    "Celu": Operator({"alpha": Float()}, floats=True),
    "Clip": Operator(fixed=(1, 2)),
    "Concat": Operator({"axis": _AXIS}),
    "Constant": Operator(
        {name: Constant() for name in ("value", "value_float", "value_floats", "value_int", "value_ints")}
    ),
    "ConstantOfShape": Operator({"value": Constant()}, stored=(0,)),
    "Conv": Operator(_CONV, fixed=(1, 2)),
    "ConvTranspose": Operator({**_CONV, "output_padding": Ints(0, 64)}, fixed=(1, 2)),
    "DepthToSpace": Operator({"blocksize": Int(1, 64), "mode": OneOf((b"DCR", b"CRD"))}),
    "DequantizeLinear": Operator({"axis": _AXIS}, fixed=(1, 2)),
    "Div": _FLOAT,
    "Elu": Operator({"alpha": Float()}, floats=True),
    "Expand": Operator(stored=(1,)),
    "Flatten": Operator({"axis": _AXIS}),
    "Gather": Operator({"axis": _AXIS}),
    "Gelu": Operator({"approximate": OneOf((b"none", b"tanh"))}, floats=True),
    "Gemm": Operator(
        {"alpha": Float(), "beta": Float(), "transA": Int(0, 0), "transB": _FLAG}, fixed=(1,), floats=True
    ),
    "GlobalAveragePool": _FLOAT,
    "GlobalMaxPool": _FLOAT,
    "GroupNormalization": Operator(
        {"epsilon": _EPSILON, "num_groups": Int(1, 4096), "stash_type": Int(1, 1)}, fixed=(1, 2)
    ),
    "HardSigmoid": Operator({"alpha": Float(), "beta": Float()}, floats=True),
    "InstanceNormalization": Operator({"epsilon": _EPSILON}, fixed=(1, 2)),
    "LayerNormalization": Operator({"axis": _AXIS, "epsilon": _EPSILON, "stash_type": Int(1, 1)}, fixed=(1, 2)),
    "LeakyRelu": Operator({"alpha": Float()}, floats=True),
    "LogSoftmax": Operator({"axis": _AXIS}, floats=True),
    "LpNormalization": Operator({"axis": _AXIS, "p": Int(1, 2)}, floats=True),
    "MatMul": _FLOAT,
    "MaxPool": Operator({**_POOL, "storage_order": Int(0, 0)}),
    "OneHot": Operator({"axis": _AXIS}, stored=(1,), fixed=(2,)),
    "PRelu": Operator(fixed=(1,), floats=True),
    "Pad": Operator({"mode": OneOf((b"constant", b"reflect", b"edge"))}, stored=(1, 3), fixed=(2,)),
    "Pow": Operator(fixed=(1,), floats=True),
    "QuantizeLinear": Operator({"axis": _AXIS, "saturate": _FLAG}, fixed=(1, 2)),
    "Reshape": Operator({"allowzero": _FLAG}, stored=(1,)),
    "Resize": Operator(_RESIZE, stored=(1, 2, 3)),
    "Selu": Operator({"alpha": Float(), "gamma": Float()}, floats=True),
    "Slice": Operator(stored=(1, 2, 3, 4)),
    "Softmax": Operator({"axis": _AXIS}, floats=True),
    "SpaceToDepth": Operator({"blocksize": Int(1, 64)}),
    "Split": Operator({"axis": _AXIS, "num_outputs": Int(1, MAX_OPERANDS)}, stored=(1,), outputs=MAX_OPERANDS),
    "Squeeze": Operator(stored=(1,)),
    "Tile": Operator(stored=(1,)),
    "Transpose": Operator({"perm": Ints(0, MAX_RANK - 1)}),
    "Unsqueeze": Operator(stored=(1,)),
}
# A seed must mean one picture: nothing in the graph may draw numbers of its own.
RANDOM = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def problem_of(node: onnx.NodeProto, stored: Mapping[str, Any]) -> str | None:
    """Return a sentence on what a node has that no model may have, or None; ``stored`` are the constants by name."""
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return f"operator {node.op_type} is not served; a generator needs only those of docs/export.md"
    if len(node.input) > MAX_OPERANDS or not 1 <= len(node.output) <= operator.outputs:
        return f"a {node.op_type} has {len(node.input)} inputs and {len(node.output)} outputs"
    if node.op_type == "Constant" and len(node.attribute) != 1:
        return f"a Constant has {len(node.attribute)} values"
    for name, value in attributes_of(node).items():
        bound = operator.attributes.get(name)
        if bound is None or not bound.allows(value):
            return f"a {node.op_type} has {name} {str(value)[:50]}, which is not served"
    for position in operator.stored:
        if position < len(node.input) and node.input[position] and node.input[position] not in stored:
            what = f"takes its shape from {node.input[position]}"
            return f"a {node.op_type} {what}, which is computed; shapes must be constants in the file"
    return None
