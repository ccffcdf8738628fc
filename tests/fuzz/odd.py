"""Model files that are odd and yet valid: most pass the check, and are then drawn with."""

import json
import random
import re
from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from service.contract import DIRECTIONS, INPUT, LABEL
from service.contract.graph import OPSETS
from service.contract.operators import OPERATORS, Bound, Float, Int, Ints, OneOf, attributes_of
from tests import tiny
from tests.e2e.server import ROOT

Change = Callable[[random.Random, onnx.ModelProto], None]

NUMBERS = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-40, 0.0, -0.0, 1.0, 255.5, 1e9)
UNARY = ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign")
UNARY += ("Sin", "Softplus", "Softsign", "Sqrt", "Tanh", "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "Identity")
BINARY = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Mean", "Sum", "Pow")
TEXTS = (
    "", "\0", "\x1b[2J\r\nSet-Cookie: a=b", "<script>alert(1)</script>", "]]>\"'&--", "\u202eevil\u202c",
    "\u00ad" * 200, "\U0001f98a" * 200, "../../etc/passwd", "{{ 7 * 7 }}", "%s%n%00", "\ufeff\u0000\ud7ff",
    "a\u0301" * 100,
)  # fmt: skip
NAMES = ("a,b", "%2C", "\U0001f98a" * 64, '"', "\\", "&amp;", "<b>", "a=b;c", "İ", "ß" * 64, "..", "NaN", "null", "-0")


def odd(made: random.Random, name: str) -> bytes:
    """Return a good model with this name that one to three things have happened to."""
    model = _base(made, name)
    for _ in range(made.choice((1, 1, 2, 3))):
        made.choice(CHANGES)(made, model)
    return model.SerializeToString()


def _base(made: random.Random, name: str) -> onnx.ModelProto:
    cards = (tiny.card(name), tiny.card(name, latent_dim=16, height=24, width=20, channels=3), tiny.conditional(name))
    if made.random() < 0.8:
        return tiny.model(made.choice(cards), seed=made.randrange(100))
    shipped = onnx.load(ROOT / "models" / "digits" / "2" / "model.onnx")
    _write(shipped, name=name, version="1")
    return shipped


def _read(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _write(model: onnx.ModelProto, **entries: str) -> None:
    helper.set_model_props(model, _read(model) | entries)


def change_attribute(made: random.Random, model: onnx.ModelProto) -> None:
    """Give one of a node's attributes another value within its bounds."""
    node = made.choice([node for node in model.graph.node if _bounds(node)])
    name = made.choice(sorted(_bounds(node)))
    if (value := _within(made, _bounds(node)[name], attributes_of(node).get(name))) is None:
        return
    kept = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _bounds(node: onnx.NodeProto) -> dict[str, Bound]:
    """Return the bounds of the attributes that the node has, or may have in its opset."""
    known = onnx.defs.get_schema(node.op_type, 20).attributes
    return {name: bound for name, bound in OPERATORS[node.op_type].attributes.items() if name in known}


def _within(made: random.Random, bound: Bound, now: object) -> object:
    match bound:
        case Int(low, high):
            near = now + made.choice((-1, 1)) if isinstance(now, int) else low
            return min(high, max(low, made.choice((low, high, near, 0, 1, 2))))
        case Ints(low, high):
            count = len(now) if isinstance(now, list) else made.choice((2, 4))
            return [min(high, max(low, made.choice((low, high, 0, 1, 1, 2)))) for _ in range(count)]
        case Float(high):
            return made.choice((0.0, -0.0, high, -high, 1e-30, 0.5))
        case OneOf():
            return made.choice(bound)
    return None


def change_weights(made: random.Random, model: onnx.ModelProto) -> None:
    """Replace one, some or all numbers of a constant."""
    tensor = made.choice([one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT])
    array = numpy_helper.to_array(tensor).copy().reshape(-1)
    for place in made.sample(range(array.size), made.choice((1, min(3, array.size), array.size))):
        array[place] = np.float32(made.choice(NUMBERS))
    tensor.CopyFrom(numpy_helper.from_array(array.reshape(tuple(tensor.dims)), tensor.name))


def reshape_constant(made: random.Random, model: onnx.ModelProto) -> None:
    """Give a constant of one number another shape that broadcasts as it does."""
    scalars = [one for one in model.graph.initializer if not one.dims and one.data_type == onnx.TensorProto.FLOAT]
    if scalars:
        tensor = made.choice(scalars)
        shape = made.choice(((1,), (1, 1, 1, 1), (1, 1), (1, 1, 1, 1, 1)))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).reshape(shape), tensor.name))


def replace_operator(made: random.Random, model: onnx.ModelProto) -> None:
    """Put another operator in the place of one that takes as many values."""
    places = [(node, kinds) for node in model.graph.node for kinds in (UNARY, BINARY) if node.op_type in kinds]
    if places:
        node, kinds = made.choice(places)
        node.op_type = made.choice(kinds)
        del node.attribute[:]


def insert(made: random.Random, model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Put nodes, which make ``new`` of ``old``, behind a value of floats that some node makes."""
    graph = model.graph
    places = [i for i, node in enumerate(graph.node) if node.op_type in (*UNARY, *BINARY, "ConvTranspose", "Conv")]
    if not places:
        return
    place, number = made.choice(places), len(graph.node)
    old = graph.node[place].output[0]
    for node in list(graph.node)[place + 1 :]:
        node.input[:] = [f"new.{number}" if name == old else name for name in node.input]
    for offset, node in enumerate(nodes, 1):
        node.input[:] = [_renamed(name, old, number) for name in node.input]
        node.output[:] = [_renamed(name, old, number) for name in node.output]
        graph.node.insert(place + offset, node)


def _renamed(name: str, old: str, number: int) -> str:
    return old if name == "old" else f"{name}.{number}" if name in ("new", "mid", "wide") else name


def insert_curve(made: random.Random, model: onnx.ModelProto) -> None:
    """Add an operator that takes one value."""
    insert(made, model, helper.make_node(made.choice(UNARY), ["old"], ["new"]))


def insert_constant(made: random.Random, model: onnx.ModelProto) -> None:
    """Add an operator that takes a value and a constant."""
    name, shape = f"constant.{len(model.graph.initializer)}", made.choice(((), (1,), (1, 1, 1, 1)))
    model.graph.initializer.append(numpy_helper.from_array(np.full(shape, made.choice(NUMBERS), np.float32), name))
    insert(made, model, helper.make_node(made.choice(BINARY), ["old", name], ["new"]))


def insert_pole(made: random.Random, model: onnx.ModelProto) -> None:
    """Add what overflows, or divides by zero, for some latents."""
    first, last = made.choice(
        (("Exp", "Exp"), ("Log", "Exp"), ("Floor", "Reciprocal"), ("Relu", "Log"), ("Exp", "Neg"))
    )
    insert(made, model, helper.make_node(first, ["old"], ["mid"]), helper.make_node(last, ["mid"], ["new"]))


def insert_wide(made: random.Random, model: onnx.ModelProto) -> None:
    """Add values that take much memory, up to and beyond what is allowed."""
    times, name = made.choice((4, 16, 64)), f"times.{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, times, times], np.int64), name))
    pool = helper.make_node("AveragePool", ["wide"], ["new"], kernel_shape=[times] * 2, strides=[times] * 2)
    insert(made, model, helper.make_node("Tile", ["old", name], ["wide"]), pool)


def insert_vast_constant(made: random.Random, model: onnx.ModelProto) -> None:
    """Add a constant that the file says in a few bytes, and that takes up to 256 MiB."""
    number = len(model.graph.initializer)
    size, axis = f"size.{number}", f"axis.{number}"
    model.graph.initializer.append(numpy_helper.from_array(np.array([2 ** made.randint(10, 26)], np.int64), size))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), axis))
    one = helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [made.choice((0.5, 1.0, 1e-30))])
    nodes = [
        helper.make_node("ConstantOfShape", [size], ["wide"], value=one),
        helper.make_node("ReduceMean", ["wide", axis], ["mid"], keepdims=0),
        helper.make_node("Mul", ["old", "mid"], ["new"]),
    ]
    insert(made, model, *nodes)


def insert_look_up(made: random.Random, model: onnx.ModelProto) -> None:
    """Add a look-up in a table by a number that is computed from the latent, and may be in no row of it."""
    number = len(model.graph.initializer)
    table, axis = f"table.{number}", f"axis.{number}"
    model.graph.initializer.append(numpy_helper.from_array(np.arange(7, dtype=np.float32), table))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), axis))
    source = INPUT if made.random() < 0.7 or LABEL not in [one.name for one in model.graph.input] else DIRECTIONS
    nodes = [
        helper.make_node("ReduceMax", [source, axis], [f"most.{number}"], keepdims=0),
        helper.make_node("Cast", [f"most.{number}"], [f"row.{number}"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", [table, f"row.{number}"], [f"found.{number}"]),
        helper.make_node("Reshape", [f"found.{number}", f"thin.{number}"], [f"factor.{number}"]),
        helper.make_node("Mul", ["old", f"factor.{number}"], ["new"]),
    ]
    thin = numpy_helper.from_array(np.array([-1, 1, 1, 1], np.int64), f"thin.{number}")
    model.graph.initializer.append(thin)
    insert(made, model, *nodes)


def change_opset(made: random.Random, model: onnx.ModelProto) -> None:
    """Say another version of the operators."""
    model.opset_import[0].version = made.choice(OPSETS)


def change_card(made: random.Random, model: onnx.ModelProto) -> None:
    """Give some of the card's texts, or the names of its classes and directions, other values."""
    entries = _read(model)
    for field in made.sample(("recipe", "objective", "run", "commit", "date", "licence"), 3):
        entries[field] = made.choice(TEXTS)
    entries["dataset"] = json.dumps(json.loads(entries["dataset"]) | {"name": made.choice(TEXTS)})
    entries["metrics"] = json.dumps([{"name": made.choice(TEXTS), "value": 1e308, "samples": 1}] * made.randint(0, 64))
    if "classes" in entries:
        count = len(json.loads(entries["classes"]))
        entries["classes"] = json.dumps((made.sample(NAMES, len(NAMES)) + [f"{i}" for i in range(count)])[:count])
    if "directions" in entries:
        names = [re.sub(r"^\d+$", "x", name) for name in made.sample(NAMES, 2)]
        entries["directions"] = json.dumps([{"name": name, "range": 100} for name in names])
    _write(model, **entries)


CHANGES: tuple[Change, ...] = (
    change_attribute,
    change_weights,
    reshape_constant,
    replace_operator,
    insert_curve,
    insert_constant,
    insert_pole,
    insert_wide,
    insert_vast_constant,
    insert_look_up,
    change_opset,
    change_card,
)
