"""float32 graph -> float16 weights and maths, for GPUs; the latent goes in and the pixels come out as before."""

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.surgery import Array, constants, in_order, replace_nodes
from service.contract import INPUT, OUTPUT


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in float16, but for operators that have no such form."""
    result: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=[INPUT])
    replace_nodes(result.graph, in_order(result.graph))  # the casts that were added stand at the end
    return result


def draw_by_layer(model: onnx.ModelProto, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images (N, H, W, C) of ``latents`` (N, Z), on the CPU, each layer's result rounded to float16.

    ONNX Runtime's CPU provider computes a whole such graph in float32 and takes out the casts in between, and so would
    show what the weights lose, but not what the maps do.
    """
    values: dict[str, Array] = {**constants(model.graph), INPUT: latents}
    for node in model.graph.node:
        drawn = _layer(model, node, values).run(None, {name: values[name] for name in _inputs(node)})
        values.update(zip(node.output, drawn, strict=True))
    images: NDArray[np.uint8] = values[OUTPUT]
    return images


def _layer(model: onnx.ModelProto, node: onnx.NodeProto, values: dict[str, Array]) -> ort.InferenceSession:
    """Return a session of one node alone."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[name].dtype), values[name].shape)
        for name in _inputs(node)
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "layer", inputs, outputs)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return ort.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])


def _inputs(node: onnx.NodeProto) -> list[str]:
    return [name for name in dict.fromkeys(node.input) if name]
