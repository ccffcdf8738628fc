"""What follows from shapes: memory, and that the images of a batch do not depend on each other."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.contract import Refusal
from service.contract.operators import OPERATORS
from service.contract.shapes import ShapeError, infer, peak_bytes, read_stored


def graph_of(*nodes: onnx.NodeProto, inputs: dict[str, list[int]] | None = None, **constants: Any) -> onnx.ModelProto:
    """A model of ``nodes`` that maps x (N, 2, 4, 4), and further inputs, to y, of any shape."""
    given = {"x": [2, 4, 4], **(inputs or {})}
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *dims]) for name, dims in given.items()],
        [],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def rows(*nodes: onnx.NodeProto, **given: Any) -> dict[str, Any]:
    model = graph_of(*nodes, **given)
    return infer(model, read_stored(model.graph))


def node(kind: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(" "), [output], **attributes)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("one", "constants"),
    [
        (node("Reshape", "x to"), {"to": ints(-1, 32)}),
        (node("Reshape", "x to"), {"to": ints(0, 4, 8)}),
        (node("Transpose", "x", perm=[0, 2, 3, 1]), {}),
        (node("ReduceMean", "x over"), {"over": ints(1)}),
        (node("ReduceMean", "x over"), {"over": ints(-1, 2)}),
        (node("Softmax", "x"), {}),
        (node("Slice", "x a b c"), {"a": ints(1), "b": ints(3), "c": ints(-1)}),
        (node("Slice", "x a b c d"), {"a": ints(-1), "b": ints(-9), "c": ints(2), "d": ints(-1)}),
        (node("Resize", "x  s"), {"s": np.float32([1, 1, 2, 2])}),
        (node("Resize", "x   to", axes=[2, 3]), {"to": ints(8, 8)}),
        (node("Pad", "x by"), {"by": ints(0, 0, 1, 1, 0, 0, 1, 1)}),
        (node("Tile", "x by"), {"by": ints(1, 3, 1, 1)}),
        (node("Concat", "x x", axis=1), {}),
        (node("Unsqueeze", "x at"), {"at": ints(1)}),
        (node("Add", "x w"), {"w": np.ones((4, 4), np.float32)}),
        (node("MatMul", "x w"), {"w": np.ones((4, 3), np.float32)}),
        (node("MatMul", "x x"), {}),
        (node("Gather", "x i", axis=1), {"i": ints(0)}),
        (node("DepthToSpace", "z", blocksize=2), {"inputs": {"z": [8, 4, 4]}}),
        (node("Gemm", "z w"), {"inputs": {"z": [5]}, "w": np.ones((5, 3), np.float32)}),
    ],
)
def test_what_keeps_the_images_apart_is_served(one: onnx.NodeProto, constants: dict[str, Any]) -> None:
    assert rows(one, **constants)["y"].by_rows


@pytest.mark.parametrize(
    ("one", "constants"),
    [
        (node("Reshape", "x to"), {"to": ints(-1, 16)}),  # two rows of each
        (node("Reshape", "x to"), {"to": ints(1009, 32)}),  # the first batch that is tried
        (node("Transpose", "x", perm=[1, 0, 2, 3]), {}),
        (node("ReduceMean", "x"), {}),
        (node("ReduceMean", "x over"), {"over": ints(0)}),
        (node("ReduceMean", "x over"), {"over": ints(-4)}),
        (node("Softmax", "x", axis=0), {}),
        (node("Softmax", "x", axis=-4), {}),
        (node("Slice", "x a b c d"), {"a": ints(-1), "b": ints(-(2**40)), "c": ints(0), "d": ints(-1)}),
        (node("Slice", "x a b"), {"a": ints(0), "b": ints(2**40)}),
        (node("Resize", "x  s"), {"s": np.float32([1.0001, 1, 2, 2])}),
        (node("Pad", "x by"), {"by": ints(1, 0, 0, 0, -1, 0, 0, 0)}),
        (node("Pad", "x by  at"), {"by": ints(1, -1), "at": ints(0)}),
        (node("Concat", "x x", axis=0), {}),
        (node("Squeeze", "x"), {}),
        (node("Unsqueeze", "x at"), {"at": ints(0)}),
        (node("Add", "z x"), {"inputs": {"z": [4, 4]}}),  # rows of z along the maps of x
        (node("MatMul", "w z"), {"inputs": {"z": [5]}, "w": np.ones((3, 1009), np.float32)}),
        (node("Gather", "x i", axis=0), {"i": ints(0)}),
        (node("Conv", "x z"), {"inputs": {"z": [2, 3, 3]}}),
        (node("Clip", "x z"), {"inputs": {"z": []}}),
    ],
)
def test_a_graph_that_may_mix_the_images_of_a_batch_is_refused(one: onnx.NodeProto, constants: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        rows(one, **constants)


@pytest.mark.parametrize(
    ("one", "constants"),
    [
        (node("Clip", "x z"), {}),
        (node("Clip", "x one z"), {"one": np.float32(1)}),
        (node("Conv", "x w z"), {"w": np.ones((3, 2, 3, 3), np.float32)}),
        (node("ConvTranspose", "x w z"), {"w": np.ones((2, 3, 3, 3), np.float32)}),
        (node("InstanceNormalization", "x z w"), {"w": np.ones(2, np.float32)}),
        (node("InstanceNormalization", "x w z"), {"w": np.ones(2, np.float32)}),
        (node("LayerNormalization", "x z"), {}),
        (node("PRelu", "x same"), {"inputs": {"same": [2, 4, 4]}}),
        (node("Pow", "x same"), {"inputs": {"same": [2, 4, 4]}}),
        (node("Pad", "x by z"), {"by": ints(0, 0, 1, 1, 0, 0, 1, 1)}),
        (node("QuantizeLinear", "x z"), {}),
    ],
)
def test_weights_and_scales_do_not_come_from_an_input_of_the_graph(
    one: onnx.NodeProto, constants: dict[str, Any]
) -> None:
    with pytest.raises(ShapeError) as refused:
        rows(one, **{"inputs": {"z": []}, **constants})
    assert refused.value.kind is Refusal.OPERATOR_NOT_ALLOWED


def test_the_peak_is_the_memory_of_all_live_values_of_a_batch() -> None:
    chain = [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]
    model = graph_of(*chain)
    image = 2 * 4 * 4 * 4
    assert peak_bytes(model.graph, infer(model, {}), 16) == (2 * 16 * image, "a")
    model = graph_of(*chain, node("Add", "x y", "z"))  # x stays to the end
    assert peak_bytes(model.graph, infer(model, {}), 1) == (3 * image, "b")


def test_a_chain_of_constants_counts_once_and_not_for_each_image() -> None:
    model = graph_of(node("Tile", "w by", "wide"), node("Add", "x wide"), w=np.ones((4, 4), np.float32), by=ints(1, 1))
    values = infer(model, read_stored(model.graph))
    assert not values["wide"].by_rows
    assert values["wide"].bytes(16) == 64


def test_the_rules_name_operators_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert set(OPERATORS) <= known
