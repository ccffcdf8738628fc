from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from export.subpixel import to_subpixel
from tests import tiny

small = st.integers(1, 4)


def transposed(
    weights: np.ndarray, size: tuple[int, int] | None = None, bias: bool = True, **attributes: Any
) -> onnx.ModelProto:
    """Return a model of one ConvTranspose, x (N, C, H, W) -> y; height and width are dynamic without ``size``."""
    shape = ["N", weights.shape[0], *(size or ("H", "W"))]
    filters = weights.shape[1] * attributes.get("group", 1)
    constants = {"weights": weights} | ({"bias": np.arange(filters, dtype=np.float32)} if bias else {})
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["same"]),  # shapes of inner values are inferred, as in a generator
            helper.make_node("ConvTranspose", ["same", *constants], ["drawn"], **attributes),
            helper.make_node("Identity", ["drawn"], ["y"]),
        ],
        "transposed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", filters, None, None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    return tiny.run(model, "y", x=x)


def integers(*shape: int) -> np.ndarray:
    """Small integers, whose sums are exact in float32, so that results can be compared for equality."""
    return np.random.default_rng(sum(shape)).integers(-9, 10, shape).astype(np.float32)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node if node.op_type != "Identity")


@given(
    shape=st.tuples(st.integers(1, 3), small, small, small),
    filters=small,
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=small,
    pads=st.tuples(*[st.integers(0, 6)] * 4),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    known=st.booleans(),
    bias=st.booleans(),
)
@settings(deadline=None)
def test_the_rewritten_graph_gives_equal_results(
    shape: tuple[int, ...],
    filters: int,
    kernel: tuple[int, int],
    stride: int,
    pads: tuple[int, ...],
    extra: tuple[int, int],
    known: bool,
    bias: bool,
) -> None:
    assume(max(extra) < stride)
    for i in range(2):  # the output is not empty, and the padding is less than the kernel
        assume(stride * (shape[2 + i] - 1) + extra[i] + kernel[i] - pads[i] - pads[2 + i] > 0)
        assume(max(pads[i], pads[2 + i]) < kernel[i])
    size = (shape[2], shape[3]) if known else None
    model = transposed(
        integers(shape[1], filters, *kernel), size, bias, strides=[stride] * 2, pads=pads, output_padding=extra
    )
    rewritten, x = to_subpixel(model), integers(*shape)
    assert operators(rewritten)["Conv"] == 1
    assert not operators(rewritten)["ConvTranspose"]
    np.testing.assert_array_equal(run(rewritten, x), run(model, x))


def test_the_dcgan_layer_becomes_a_2x2_convolution() -> None:
    model = to_subpixel(transposed(integers(5, 3, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1]))
    assert operators(model) == {"Conv": 1, "DepthToSpace": 1, "Slice": 1}
    (kernel,) = (tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    assert list(kernel.dims) == [2 * 2 * 3, 5, 2, 2]


def test_a_kernel_as_wide_as_its_stride_needs_no_slice() -> None:
    model = transposed(integers(5, 3, 4, 4), strides=[4, 4])
    assert operators(to_subpixel(model)) == {"Conv": 1, "DepthToSpace": 1}


def test_a_single_input_pixel_becomes_a_1x1_convolution() -> None:
    model = transposed(integers(5, 3, 4, 4), (1, 1))
    rewritten = to_subpixel(model)
    assert operators(rewritten) == {"Conv": 1, "DepthToSpace": 1}
    assert [48, 5, 1, 1] in [list(tensor.dims) for tensor in rewritten.graph.initializer]
    x = integers(3, 5, 1, 1)
    np.testing.assert_array_equal(run(rewritten, x), run(model, x))


@pytest.mark.parametrize(
    "attributes",
    [
        {"group": 2},
        {"dilations": [2, 2]},
        {"strides": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"output_shape": [6, 6], "strides": [2, 2]},
        {"strides": [2, 2], "pads": [4, 4, 0, 0]},
    ],
)
def test_an_unsupported_transposed_convolution_is_unchanged(attributes: dict[str, Any]) -> None:
    model = transposed(integers(4, 2, 3, 3), **attributes)
    assert operators(to_subpixel(model)) == {"ConvTranspose": 1}


def test_a_layer_with_computed_weights_is_unchanged() -> None:
    model = transposed(integers(4, 2, 3, 3))
    model.graph.node.insert(0, helper.make_node("Abs", ["weights"], ["computed"]))
    model.graph.node[2].input[1] = "computed"
    assert operators(to_subpixel(model)) == {"Abs": 1, "ConvTranspose": 1}


def test_the_input_model_is_unchanged_and_the_old_weights_are_removed() -> None:
    model = transposed(integers(5, 3, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
    before = model.SerializeToString(deterministic=True)
    rewritten = to_subpixel(model)
    assert model.SerializeToString(deterministic=True) == before
    assert "weights" not in {tensor.name for tensor in rewritten.graph.initializer}
