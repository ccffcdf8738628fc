"""Give a graph the inputs ``truncation`` and ``directions``; where they are off, not a bit of an image changes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from export.entries import Entry
from export.surgery import Array, add_constant, replace_nodes, subgraph
from service.contract import DIRECTIONS, INPUT, LABEL, TRUNCATION
from service.engine import onnx_runtime

SAMPLES = 10_000  # latents of which a centre is the mean; its error is a hundredth of the deviation


class Moves(NamedTuple):
    """How an entry is moved.

    Attributes:
        entry: the value, and who reads it.
        centre: what truncation draws it towards, (D,); None for no truncation.
        vectors: what one step along each direction adds, (K, D); none for no directions.
    """

    entry: Entry
    centre: NDArray[np.float32] | None
    vectors: NDArray[np.float32]


def add_controls(model: onnx.ModelProto, moves: Sequence[Moves]) -> onnx.ModelProto:
    """Return the model with the inputs that the moves need, behind those that it has.

    Each entry is drawn towards its centre first and then moved along the directions, on its way into the maps alone: a
    mapping network reads the latent as it was.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    counts = {len(move.vectors) for move in moves}
    truncates = any(move.centre is not None for move in moves)
    nodes = list(graph.node)
    inserted: dict[int, list[onnx.NodeProto]] = {}
    if truncates:
        graph.input.append(helper.make_tensor_value_info(TRUNCATION, TensorProto.FLOAT, ["N"]))
    if count := max(counts):
        graph.input.append(helper.make_tensor_value_info(DIRECTIONS, TensorProto.FLOAT, ["N", count]))
    for move in moves:
        steps, moved = _steps(graph, move)
        for reader in move.entry.readers:
            names = nodes[reader].input
            names[:] = [moved if name == move.entry.value else name for name in names]
        inserted.setdefault(move.entry.readers[0], []).extend(steps)
    prepared = _truncation_nodes(graph) if truncates else []
    replace_nodes(graph, prepared + [one for i, node in enumerate(nodes) for one in [*inserted.get(i, ()), node]])
    return result


def _truncation_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that make columns (N, 1) of the input: how much of an entry is kept, and how much is not."""
    axis = add_constant(graph, f"{TRUNCATION}.axis", np.array([1], np.int64))
    one = add_constant(graph, f"{TRUNCATION}.one", np.array(1, np.float32))
    kept, left = f"{TRUNCATION}.kept", f"{TRUNCATION}.left"
    return [
        helper.make_node("Unsqueeze", [TRUNCATION, axis], [kept]),
        helper.make_node("Sub", [one, kept], [left]),
    ]


def _steps(graph: onnx.GraphProto, move: Moves) -> tuple[list[onnx.NodeProto], str]:
    """Return the nodes that move an entry, and what they give."""
    value = move.entry.value
    nodes: list[onnx.NodeProto] = []
    if move.centre is not None:  # value + left * (centre - value): with nothing left out, that is the value exactly
        centre = add_constant(graph, f"{value}.centre", move.centre[None])
        names = [f"{value}.{name}" for name in ("inwards", "towards", "truncated")]
        nodes += [
            helper.make_node("Sub", [centre, value], [names[0]]),
            helper.make_node("Mul", [names[0], f"{TRUNCATION}.left"], [names[1]]),
            helper.make_node("Add", [value, names[1]], [names[2]]),
        ]
        value = names[2]
    if len(move.vectors):
        vectors = add_constant(graph, f"{move.entry.value}.directions", move.vectors)
        names = [f"{move.entry.value}.{name}" for name in ("step", "moved")]
        nodes += [
            helper.make_node("MatMul", [DIRECTIONS, vectors], [names[0]]),
            helper.make_node("Add", [value, names[0]], [names[1]]),
        ]
        value = names[1]
    return nodes, value


def entry_values(model: onnx.ModelProto, entry: Entry, latent_dim: int) -> NDArray[np.float32]:
    """Return an entry's values (SAMPLES, D) at random latents."""
    latents = np.random.RandomState(0).randn(SAMPLES, latent_dim).astype(np.float32)
    return evaluate(model, {INPUT: latents}, [entry.value])[0] if entry.value != INPUT else latents


def evaluate(model: onnx.ModelProto, feeds: dict[str, Array], outputs: list[str]) -> list[NDArray[np.float32]]:
    """Return values of a graph, (N, …) float32, computed from others; an input ``label`` is 0 in all rows."""
    part = subgraph(model, {name: ["N", *value.shape[1:]] for name, value in feeds.items()}, outputs)
    count = len(next(iter(feeds.values())))
    given = {value.name for value in part.graph.input}
    feeds = feeds | ({LABEL: np.zeros(count, np.int64)} if LABEL in given else {})
    session = onnx_runtime.load().InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    values: list[NDArray[np.float32]] = session.run(outputs, feeds)
    return values
