import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from export.float16 import draw_by_layer, to_float16
from export.surgery import constants
from service.contract.graph import check
from tests import tiny


def latents(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)


def tiny_in_float16() -> onnx.ModelProto:
    return to_float16(tiny.model(tiny.card(channels=3)))


def test_weights_and_arithmetic_are_float16_and_the_contract_holds() -> None:
    made = tiny_in_float16()
    assert check(made.SerializeToString(), "made") == tiny.card(channels=3)
    onnx.checker.check_model(made, full_check=True)  # also: every node behind those that it reads
    assert {name: value.dtype for name, value in constants(made.graph).items()} == {
        "weights": np.float16,
        "half": np.float16,
        "shape": np.int64,
    }
    inner = {
        one.name: one.type.tensor_type.elem_type for one in onnx.shape_inference.infer_shapes(made).graph.value_info
    }
    assert inner["drawn"] == inner["levels"] == TensorProto.FLOAT16


def test_its_images_are_close_to_the_float32_ones() -> None:
    wanted = tiny.run(tiny.model(tiny.card(channels=3)), "image", latent=latents())
    drawn = draw_by_layer(tiny_in_float16(), {"latent": latents()})
    difference = np.abs(wanted.astype(int) - drawn)
    assert 0 < difference.max() <= 2
    assert difference.mean() < 0.2


def test_each_layer_is_rounded_to_float16_unlike_in_onnx_runtime() -> None:
    """2048 + 1 - 2048 is 0 in float16 and 1 in float32."""
    model = tiny.model(tiny.card())
    constants_ = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("big", 2048), ("z", 0))]
    nodes = [
        helper.make_node("Mul", ["latent", "z"], ["nothing"]),
        helper.make_node("Exp", ["nothing"], ["one"]),
        helper.make_node("Add", ["one", "big"], ["sum"]),
        helper.make_node("Sub", ["sum", "big"], ["left"]),
        helper.make_node("Cast", ["left"], ["image"], to=TensorProto.UINT8),
    ]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants_)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    made = to_float16(model)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    assert (session.run(None, {"latent": latents(2)})[0] == 1).all()  # or else draw_by_layer is no longer needed
    assert (draw_by_layer(made, {"latent": latents(2)}) == 0).all()
