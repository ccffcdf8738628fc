"""A model file's graph against the contract: its operators, its inputs and output, its shapes and its memory."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from service.contract.card import Card, as_line, read_card
from service.contract.encoder import EncoderCard, read_encoder_card
from service.contract.files import MODEL_FILE, read_verified
from service.contract.inputs import LABEL, Input
from service.contract.operators import RANDOM, TYPES, attributes_of, problem_of
from service.contract.refusals import ContractError, Refusal
from service.contract.shapes import MAX_NODES, ShapeError, Value, infer, peak_bytes, read_stored

OPSETS = range(17, 24)  # of ai.onnx: 17 is the oldest that is tested, 23 the newest
STANDARD_DOMAINS = ("", "ai.onnx")
SAME_NUMBERS = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)  # that hold the number of every class
MAX_IMAGE_BYTES = 2**30  # for one image, where no other bound is given
AnyCard = TypeVar("AnyCard", Card, EncoderCard)
Breach = tuple[Refusal, str]  # with a sentence that says where in the graph


@dataclass(frozen=True)
class ModelFile:
    """A checked model file, read once: what was checked is what will run."""

    card: Card
    digest: str
    data: bytes


def read_model(folder: Path, file: str = MODEL_FILE) -> ModelFile:
    """Read and check ``folder/file`` against its line in the digest file and the whole contract.

    Raises:
        ContractError: with one sentence that says what is wrong.
    """
    read = read_verified(folder, file)
    return ModelFile(check(read.data, str(folder / file)), read.digest, read.data)


def check(data: bytes, where: str, *, batch: int = 1, memory: int = MAX_IMAGE_BYTES) -> Card:
    """Check a serialised model against the contract, running none of it, and return its card.

    Args:
        data: the model file.
        where: what a sentence calls it.
        batch: the most images that are drawn at once.
        memory: bytes that such a batch may take, the weights apart.

    Raises:
        ContractError: with one sentence that starts with ``where``.
    """
    return _check(data, where, batch, memory, read_card)


def check_encoder(data: bytes, where: str, *, batch: int = 1, memory: int = MAX_IMAGE_BYTES) -> EncoderCard:
    """Check a serialised encoder as :func:`check` does a model, and return its card."""
    return _check(data, where, batch, memory, read_encoder_card)


def batch_bytes(data: bytes, batch: int) -> int:
    """Return the bytes that a batch of a checked model or encoder takes, the weights apart."""
    model = onnx.load_model_from_string(data)
    return peak_bytes(model.graph, infer(model, read_stored(model.graph)), batch)[0]


def _check(data: bytes, where: str, batch: int, memory: int, read: Callable[[dict[str, str], str], AnyCard]) -> AnyCard:
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ContractError(Refusal.NOT_ONNX, f"{where} is not an ONNX model") from error
    try:
        card = read({entry.key: entry.value for entry in model.metadata_props}, where)
        breach = next(_breaches(model, card, batch, memory), None)
    except ShapeError as error:
        breach = error.kind, str(error)
    except (TypeError, ValueError, RecursionError) as error:  # such as a name that is no text, which reads as bytes
        raise ContractError(Refusal.NOT_ONNX, f"{where} is no ONNX model that can be followed") from error
    if breach:
        kind, sentence = breach
        raise ContractError(kind, f"{where}: {as_line(sentence)}")
    return card


def _breaches(model: onnx.ModelProto, card: Card | EncoderCard, batch: int, memory: int) -> Iterator[Breach]:
    """Yield each breach of the contract; each check relies on those before it."""
    graph = model.graph
    yield from _each(Refusal.OPERATOR_NOT_ALLOWED, _language_problems(model))
    yield from _each(Refusal.BAD_GRAPH, _size_problems(graph))
    stored = read_stored(graph)
    yield from _each(Refusal.OPERATOR_NOT_ALLOWED, (problem_of(node, stored) for node in graph.node))
    yield from _each(Refusal.WRONG_SIGNATURE, _signature_problems(graph, card))
    values = infer(model, stored)
    yield from _look_up_breaches(graph, values, card)
    used = _used(graph)
    unused = (f"{graph.output[0].name} does not depend on {name}" for name in card.inputs() if name not in used)
    yield from _each(Refusal.WRONG_SIGNATURE, unused)
    needed, where = peak_bytes(graph, values, batch)
    if needed > memory:
        sizes = f"a batch of {batch} takes {_mib(needed)} at {where}, and {_mib(memory)} is the most"
        yield Refusal.TOO_MUCH_MEMORY, f"{sizes}; set NELUMBO_MAX_BATCH lower, or give the service more memory"


def _each(kind: Refusal, sentences: Iterable[str | None]) -> Iterator[Breach]:
    return ((kind, sentence) for sentence in sentences if sentence)


def _language_problems(model: onnx.ModelProto) -> Iterator[str]:
    """Yield a sentence for whatever is more than standard operators, one after the other."""
    graph = model.graph
    domains = {entry.domain for entry in model.opset_import} | {node.domain for node in graph.node}
    if foreign := domains.difference(STANDARD_DOMAINS):
        yield f"operators of {', '.join(sorted(foreign))}; only standard ONNX operators are served"
    if model.functions:
        yield "the model defines functions of its own; only standard ONNX operators are served"
    opset = max((entry.version for entry in model.opset_import), default=0)
    if opset not in OPSETS:
        yield f"opset {opset}; this version serves {OPSETS.start} to {OPSETS.stop - 1}"
    if forks := {node.op_type for node in graph.node if any(_holds_graph(item) for item in node.attribute)}:
        yield f"the graph branches or loops ({', '.join(sorted(forks))}); a generator needs neither"
    if random := {node.op_type for node in graph.node} & RANDOM:
        yield f"the graph draws random numbers ({', '.join(sorted(random))}); a seed would not fix the picture"


def _holds_graph(attribute: onnx.AttributeProto) -> bool:
    return attribute.HasField("g") or bool(attribute.graphs)


def _mib(count: int) -> str:
    return f"{math.ceil(count / 2**20):,} MiB"


def _size_problems(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield a sentence for too many nodes, and each constant that lies elsewhere or is not as large as it says."""
    if len(graph.node) > MAX_NODES:
        yield f"{len(graph.node)} operators; at most {MAX_NODES} are served"
    if graph.sparse_initializer:
        yield "weights are sparse; a generator's are dense"
    names = [value.name for value in (*graph.initializer, *graph.input)]
    if len(set(names)) < len(names):
        yield "two of the weights and inputs have one name"
    attributes = (attribute for node in graph.node for attribute in node.attribute)
    for tensor in (*graph.initializer, *(item.t for item in attributes if item.HasField("t"))):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            yield "weights lie in other files; a model is one file"
        if tensor.data_type not in TYPES:
            yield f"weights {tensor.name} have a type that is not served"
        room = 2 * tensor.ByteSize()  # two numbers a byte are the most that a type holds
        if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > room:
            yield f"weights {tensor.name} say that they are {list(tensor.dims)[:8]}, more than the file holds"


def _look_up_breaches(
    graph: onnx.GraphProto, values: Mapping[str, Value], card: Card | EncoderCard
) -> Iterator[Breach]:
    """Yield a breach for each Gather whose numbers might be in no row of its table, which fails as it is drawn.

    Numbers that are constants in the file fail when it is checked.
    """
    classes = len(card.classes) if isinstance(card, Card) else 0
    labels = {LABEL}  # and what has the same numbers
    for node in graph.node:
        if node.op_type in SAME_NUMBERS and node.input[0] in labels:
            labels.update(name for name in node.output if values[name].element in INTEGERS)
        if node.op_type != "Gather" or not values[node.input[1]].by_rows:
            continue
        table = values[node.input[0]].dims
        if node.input[1] not in labels:
            numbers = f"a Gather looks up numbers that are computed, {node.input[1]}"
            yield Refusal.OPERATOR_NOT_ALLOWED, f"{numbers}; only those of classes are served"
        elif table[attributes_of(node).get("axis", 0)] < classes:
            sentence = f"a Gather looks up {classes} classes in {node.input[0]}, which is {list(table)}"
            yield Refusal.WRONG_SIGNATURE, sentence


def _used(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all values that the output is made of; the nodes are in their order."""
    used = {graph.output[0].name}
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(node.input)
    return used


def _signature_problems(graph: onnx.GraphProto, card: Card | EncoderCard) -> Iterator[str]:
    if card.channels not in (1, 3):
        yield f"{card.channels} channels; pictures have 1 or 3"
    yield from _value_problems("input", graph.input, card.inputs())
    yield from _value_problems("output", graph.output, card.outputs())


def _value_problems(kind: str, values: Sequence[onnx.ValueInfoProto], wanted: Mapping[str, Input]) -> Iterator[str]:
    """Yield a sentence for each input or output that is not what the card promises."""
    promises = {name: f"{name}, {one.dtype} [{', '.join(map(str, ('N', *one.row)))}]" for name, one in wanted.items()}
    if [value.name for value in values] != [*wanted]:
        there = ", ".join(value.name for value in values[:8]) or "nothing"
        yield f"the {kind} must be {' and '.join(promises.values())}, not {there}"
        return
    for value, (name, one) in zip(values, wanted.items(), strict=True):
        tensor = value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]  # a dynamic dimension reads as 0
        if tensor.elem_type != helper.np_dtype_to_tensor_dtype(np.dtype(one.dtype)) or dims != [0, *one.row]:
            there = f"{_type_name(tensor.elem_type)} {dims[:8]}"
            yield f"the {kind} must be {promises[name]} with N dynamic, not {there}"


def _type_name(element: int) -> str:
    known = onnx.TensorProto.DataType
    return known.Name(element).lower() if element in known.values() else f"type {element}"
