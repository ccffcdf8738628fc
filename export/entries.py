"""Where the latent enters the feature maps of a generator's graph, found by following its dense layers.

A DCGAN-like generator has one entry: the latent itself, which a convolution or a dense layer turns into the smallest
map. A generator with a mapping network has two: the style, which dense layers make of the latent and others turn into
the scales and shifts of every map; and, where the smallest map is made of the latent, the latent or what is on its
sphere. An embedding that is appended to an entry is no part of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx

from export.errors import InputError
from service.contract import INPUT
from service.contract.operators import FLOATS
from service.contract.shapes import infer, read_stored

DENSE = ("Gemm", "MatMul")
CONVOLUTIONS = ("Conv", "ConvTranspose")
MAP = 4  # rank of a feature map (N, C, H, W)


@dataclass
class Entry:
    """A flat value (N, D) that is turned into feature maps.

    Attributes:
        value: its name.
        size: D.
        style: whether dense layers make it of the latent, so that its centre is not 0.
        readers: positions in the graph of the nodes that read it on its way into the maps.
        layers: the first layers on that way: their outputs, each linear in the value.
    """

    value: str
    size: int
    style: bool
    readers: list[int] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)


def find_entries(model: onnx.ModelProto) -> list[Entry]:
    """Return the entries of a generator's graph, the styles last; raises InputError where there is none."""
    flow = _Flow(model)
    found: dict[str, Entry] = {}
    for position, value, layer in flow.entering():
        entry = found.setdefault(value, Entry(value, flow.size(value), value in flow.dense_made))
        entry.readers = sorted({*entry.readers, position})
        entry.layers.append(layer)
    if not found:
        raise InputError("the latent of this graph enters no feature map through a dense layer or a convolution")
    return sorted(found.values(), key=lambda entry: entry.style)


class _Flow:
    """The flat values (N, D) of a graph that depend on the latent, and the layers that they pass.

    Attributes:
        dense_made: those that a dense layer makes, directly or not.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._nodes = list(model.graph.node)
        self._values = infer(model, read_stored(model.graph))
        self._maker = {name: position for position, node in enumerate(self._nodes) for name in node.output}
        self._of_latent = {INPUT}
        self.dense_made: set[str] = set()
        for node in self._nodes:
            if self._of_latent.intersection(node.input):
                self._of_latent.update(node.output)
                if self._flat(node) and (node.op_type in DENSE or self.dense_made.intersection(node.input)):
                    self.dense_made.update(filter(self._is_flat, node.output))
        self._before_dense: set[str] = set()  # those of which a dense layer makes something
        for node in reversed(self._nodes):
            if node.op_type in DENSE or self._before_dense.intersection(node.output):
                self._before_dense.update(self._flat(node))

    def size(self, value: str) -> int:
        """Return D of a flat value."""
        return self._values[value].dims[1]

    def entering(self) -> Iterator[tuple[int, str, str]]:
        """Yield for each way into a map: the position of a node, the entry that it reads, and the first layer."""
        for position, node in enumerate(self._nodes):
            output = node.output[0]
            for value in self._flat(node):
                if node.op_type in DENSE and output not in self._before_dense:
                    yield *self._entry(position, value), output
                elif self._is_map(output) and value not in self.dense_made:
                    yield *self._entry(position, value), self._convolved(output)

    def _entry(self, position: int, value: str) -> tuple[int, str]:
        """Return the reader and its value, or those of before an embedding was appended to the value."""
        maker = self._maker.get(value)
        if maker is None or self._nodes[maker].op_type != "Concat":
            return position, value
        parts = self._flat(self._nodes[maker])
        return self._entry(maker, parts[0]) if len(parts) == 1 else (position, value)

    def _convolved(self, name: str) -> str:
        """Return the output of the convolution that reads a map, or the map."""
        return next(
            (node.output[0] for node in self._nodes if name in node.input and node.op_type in CONVOLUTIONS), name
        )

    def _flat(self, node: onnx.NodeProto) -> list[str]:
        return [name for name in node.input if self._is_flat(name)]

    def _is_flat(self, name: str) -> bool:
        value = self._values.get(name) if name in self._of_latent else None
        return value is not None and len(value.dims) == 2 and value.element in FLOATS

    def _is_map(self, name: str) -> bool:
        return name in self._values and len(self._values[name].dims) == MAP
