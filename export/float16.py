"""float32 graph -> float16 weights and maths, for GPUs; the latent goes in and the pixels come out as before."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.surgery import Array, constants, in_order, replace_nodes, run_node
from service.contract import INPUT, OUTPUT


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in float16, but for operators that have no such form."""
    result: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=[INPUT])
    replace_nodes(result.graph, in_order(result.graph))  # the converter appends its casts at the end
    return result


def draw_by_layer(model: onnx.ModelProto, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images (N, H, W, C) of ``latents`` (N, Z), on the CPU, each layer's result rounded to float16.

    ONNX Runtime's CPU provider computes a whole such graph in float32 and removes the casts in between, so that it
    would show the error of the rounded weights, but not that of the rounded feature maps.
    """
    values: dict[str, Array] = {**constants(model.graph), INPUT: latents}
    for node in model.graph.node:
        values.update(run_node(model, node, values))
    images: NDArray[np.uint8] = values[OUTPUT]
    return images
