"""Store a graph's weights as float16, which takes half the bytes; they are cast to float32 when the file is opened."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALL = 1024  # numbers of a tensor that stays as it is: biases and shapes


def halve(model: onnx.ModelProto) -> None:
    """Replace large float32 constants by float16 ones and a Cast, in place; arithmetic stays float32."""
    casts = []
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        name, stored = weights.name, f"{weights.name}_half"
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
