"""Convert a float32 graph to float16 weights and arithmetic for GPUs; inputs and outputs keep their types."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from export.surgery import Array, constants, replace_nodes, run_node, topologically_sorted
from service.contract import OUTPUT
from service.engine import onnx_runtime


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in float16, except for operators that have no float16 version."""
    onnx_runtime.load()  # before a part of it is imported, which would turn its telemetry on
    from onnxruntime.transformers.float16 import convert_float_to_float16

    result: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=[value.name for value in model.graph.input])
    replace_nodes(result.graph, topologically_sorted(result.graph))  # the converter appends its casts at the end
    return result


def draw_by_layer(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> NDArray[np.uint8]:
    """Return the images (N, H, W, C) of inputs (N, …), run node by node on the CPU with float16 results.

    ONNX Runtime's CPU provider computes a whole float16 graph in float32 and removes the casts in between. That would
    measure the error of the rounded weights, but not that of the rounded feature maps.
    """
    values: dict[str, Array] = {**constants(model.graph), **feeds}
    for node in model.graph.node:
        values.update(run_node(model, node, values))
    images: NDArray[np.uint8] = values[OUTPUT]
    return images
