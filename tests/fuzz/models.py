"""Model files with operators, attributes and constants at random: the check must give a verdict on each, and live."""

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.contract import MODEL_FILE, Refusal
from service.contract.operators import OPERATORS
from service.engine.checker import Checker
from tests import hostile, tiny

KINDS = onnx.defs.OpSchema.AttrType
NUMBERS = (0, 1, 2, 3, 4, 8, 16, 64, 255, 2**15, 2**31 - 1, 2**31, 2**62, -1, -2, -(2**31), -(2**63))
REALS = (0.0, 0.5, 1.0, -1.0, 1e-30, 1e30, float("inf"), float("-inf"), float("nan"))
TEXTS = (b"", b"NOTSET", b"SAME_UPPER", b"VALID", b"nearest", b"cubic", b"constant", b"reflect", b"DCR", b"x" * 999)
TYPES = (np.float32, np.float16, np.int64, np.int32, np.int8, np.uint8, np.bool_)
AT_ONCE = 200  # files that one child process is given


@dataclass
class Result:
    """What was tried, and what came of it."""

    verdicts: Counter[str]
    fatal: list[Path]  # files that ended the process that checked them, kept

    def __str__(self) -> str:
        told = ", ".join(f"{verdict}: {count:,}" for verdict, count in sorted(self.verdicts.items()))
        return f"models: {self.verdicts.total():,} inputs; {told}"


def fuzz(folder: Path, inputs: int, seed: int) -> Result:
    """Check so many files; one that ends its process shows a hole in the list of operators."""
    made = random.Random(seed)
    result = Result(Counter(), [])
    checker = Checker(4, seconds=20)
    for start in range(0, inputs, AT_ONCE):
        names = [f"m{number}" for number in range(start, min(start + AT_ONCE, inputs))]
        files = [hostile.write(folder, name, bad(made)) / MODEL_FILE for name in names]
        for file, verdict in checker.check(files):
            fatal = verdict.kind == Refusal.CRASHED.slug
            result.verdicts["fatal" if fatal else "refused" if verdict.refused else "passed"] += 1
            result.fatal += [file] if fatal else []
            if not fatal:
                file.unlink()
    return result


def bad(made: random.Random) -> bytes:
    """Return a good model to which one to three nodes are added, half of them on the way to its image."""
    model = tiny.model(tiny.card())
    graph = model.graph
    for number in range(made.randint(1, 3)):
        node = _node(made, graph, number)
        place = made.randint(0, len(graph.node))
        if made.random() < 0.5 and place < len(graph.node) and graph.node[place].input:
            graph.node[place].input[0] = node.output[0]
        graph.node.insert(place, node)
    data = bytearray(model.SerializeToString())
    if made.random() < 0.1:
        data[made.randrange(len(data))] = made.randrange(256)
    return bytes(data)


def _node(made: random.Random, graph: onnx.GraphProto, number: int) -> onnx.NodeProto:
    kind = made.choice([*OPERATORS] * 4 + [schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain])
    schema = onnx.defs.get_schema(kind, 20) if onnx.defs.has(kind, 20) else onnx.defs.get_schema(kind)
    known = ["latent", "column", "drawn", "squashed", "scaled", "levels"]
    count = made.randint(schema.min_input, max(schema.min_input, min(schema.max_input, 5)))
    inputs = [made.choice(known) if made.random() < 0.5 else _constant(made, graph) for _ in range(count)]
    node = helper.make_node(kind, inputs, [f"made.{number}"])
    for name, attribute in schema.attributes.items():
        if attribute.required or made.random() < 0.4:
            value = _value(made, attribute.type)
            if value is not None:
                node.attribute.append(helper.make_attribute(name, value))
    return node


def _constant(made: random.Random, graph: onnx.GraphProto) -> str:
    dims = [made.choice((1, 1, 2, 3, 4, 8, 16)) for _ in range(made.randint(0, 4))]
    values: Any = np.array([made.choice(NUMBERS[:10]) for _ in range(int(np.prod(dims, dtype=int)))], np.float64)
    with np.errstate(all="ignore"):
        array = values.reshape(dims).astype(made.choice(TYPES))
    name = f"constant.{len(graph.initializer)}"
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def _value(made: random.Random, kind: Any) -> Any:
    small = made.random() < 0.7

    def number() -> int:
        return made.randint(0, 4) if small else made.choice(NUMBERS)

    makers: dict[Any, Any] = {
        KINDS.INT: number,
        KINDS.INTS: lambda: [number() for _ in range(made.choice((1, 2, 2, 2, 4, 4, 8)))],
        KINDS.FLOAT: lambda: made.choice(REALS),
        KINDS.STRING: lambda: made.choice(TEXTS),
        KINDS.TENSOR: lambda: helper.make_tensor("t", made.choice((TensorProto.FLOAT, TensorProto.INT64)), [1], [1]),
    }
    return makers[kind]() if kind in makers else None
