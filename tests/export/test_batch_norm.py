from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.batch_norm import fold_batch_norm
from tests import tiny

SHAPES = {"Conv": (4, 3, 3, 3), "ConvTranspose": (3, 4, 3, 3)}  # both: 3 channels to 4 filters


def layer_and_norm(kind: str, bias: bool = False, **attributes: Any) -> onnx.ModelProto:
    """x (N, 3, H, W) -> a convolution -> BatchNormalization -> y (N, 4, H', W')."""
    random = np.random.default_rng(0)
    norm = {name: random.uniform(0.2, 3, 4) for name in ("scale", "shift", "mean", "variance")}
    values = {"weights": random.normal(size=SHAPES[kind])} | ({"bias": random.normal(size=4)} if bias else {})
    graph = helper.make_graph(
        [
            helper.make_node(kind, ["x", *values], ["drawn"], **attributes),
            helper.make_node("BatchNormalization", ["drawn", *norm], ["y"], epsilon=1e-3),
        ],
        "normed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, None, None])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in (values | norm).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
def test_batch_norm_is_folded_into_the_convolution_before_it(kind: str, bias: bool) -> None:
    model = layer_and_norm(kind, bias)
    folded = fold_batch_norm(model)
    assert operators(folded) == [kind]
    x = np.random.default_rng(1).normal(size=(2, 3, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(tiny.run(folded, "y", x=x), tiny.run(model, "y", x=x), atol=1e-4)


def test_it_is_kept_if_another_node_reads_the_convolution() -> None:
    model = layer_and_norm("Conv")
    model.graph.node.append(helper.make_node("Neg", ["drawn"], ["z"]))
    assert operators(fold_batch_norm(model)) == ["Conv", "BatchNormalization", "Neg"]


def test_it_is_kept_after_any_other_operator() -> None:
    model = layer_and_norm("Conv")
    model.graph.node[1].input[0] = "between"
    model.graph.node.insert(1, helper.make_node("Relu", ["drawn"], ["between"]))
    assert operators(fold_batch_norm(model)) == ["Conv", "Relu", "BatchNormalization"]


def test_it_is_kept_after_a_grouped_convolution() -> None:
    model = layer_and_norm("Conv")
    model.graph.node[0].attribute.append(helper.make_attribute("group", 2))
    assert operators(fold_batch_norm(model)) == ["Conv", "BatchNormalization"]
