"""What a model file promises: the one thing that passes from export/ to service/.

``model.onnx`` is a single file that maps ``latent`` float32 (N, Z) to ``image`` uint8 (N, H, W, C) and carries a
:class:`Card` in its ``metadata_props``. Beside it, ``sha256`` holds its digest in the format of ``sha256sum -c``.
A ``model.openvino.onnx`` beside it is the same for one provider, and has a :class:`Rewrite` in its card.
"""

import hashlib
import json
import math
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import onnx
from google.protobuf.message import DecodeError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from service.precision import Precision as Precision

SCHEMA = 1
INPUT, OUTPUT = "latent", "image"
MODEL_FILE, DIGEST_FILE = "model.onnx", "sha256"
MAX_BYTES = 512 * 2**20
MAX_NUMBERS = 2**28  # in one value of the graph, for one image: 1 GiB in float32
OPSETS = range(17, 24)  # of ai.onnx: 17 is the oldest we test, 23 the newest
STANDARD_DOMAINS = ("", "ai.onnx")
# A seed must mean one picture: nothing in the graph may draw numbers of its own.
RANDOM_OPS = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class ContractError(Exception):
    """A model file breaks the contract; the message is one sentence for a person."""


class Dataset(BaseModel):
    """The images that a model was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    licence: str
    count: int = Field(ge=0)
    digest: str


class Metric(BaseModel):
    """One figure of an evaluation, such as ``lenet-fd`` over 10,000 samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float = Field(allow_inf_nan=False)  # JSON has no NaN, and GET /models is JSON
    samples: int = Field(ge=1)


class Rewrite(BaseModel):
    """What a model file that was rewritten for a provider owes to the one that it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    precision: Precision
    source: str  # digest of the model.onnx that it was made of
    largest_error: int  # in levels of 0 to 255, against that file on the CPU provider
    mean_error: float = Field(allow_inf_nan=False)
    samples: int = Field(ge=1)
    device: str  # the processor that was measured


def _from_json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class Card(BaseModel):
    """All that a model file says of itself; one ``metadata_props`` entry a field."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_number: int = Field(SCHEMA, alias="schema")
    name: str = Field(pattern=NAME_PATTERN)
    version: int = Field(ge=1)
    latent_dim: int = Field(ge=1, le=4096)
    height: int = Field(ge=1, le=1024)
    width: int = Field(ge=1, le=1024)
    channels: int
    recipe: str
    objective: str
    images_seen: int = Field(ge=0)
    dataset: Annotated[Dataset, BeforeValidator(_from_json)]
    metrics: Annotated[tuple[Metric, ...], BeforeValidator(_from_json)] = ()
    run: str
    commit: str
    date: str
    licence: str
    rewrite: Annotated[Rewrite | None, BeforeValidator(_from_json)] = None

    def to_metadata(self) -> dict[str, str]:
        """Return the card as ONNX ``metadata_props``: strings as they are, all else as JSON."""
        fields = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}


@dataclass(frozen=True)
class ModelFile:
    """A checked model file, read once: what was checked is what will run."""

    card: Card
    digest: str
    data: bytes


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_model(folder: Path, file: str = MODEL_FILE) -> ModelFile:
    """Read and check ``folder/file`` against its line in the digest file and the whole contract.

    Raises:
        ContractError: with one sentence that says what is wrong.
    """
    _stay_inside(folder, file)
    data = read_bytes(folder / file)
    digest = digest_of(data)
    try:
        lines = (folder / DIGEST_FILE).read_text(encoding="ascii").splitlines()
        stated = {name: said for said, name in map(str.split, lines)}[file]
    except (OSError, ValueError, KeyError) as error:
        remedy = f"type there: sha256sum *.onnx > {DIGEST_FILE}"
        raise ContractError(f"{folder / DIGEST_FILE} cannot be read or lacks {file}; {remedy}") from error
    if stated != digest:
        what = f"has digest {digest[:12]}…, but {DIGEST_FILE} says {as_line(stated[:12])}…"
        raise ContractError(f"{folder / file} {what}; it is not what was exported, so copy or export it again")
    return ModelFile(check(data, str(folder / file)), digest, data)


def read_bytes(path: Path) -> bytes:
    """Read a model file that is small enough to be one; raises ContractError."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device would never end
            raise ContractError(f"{path} is not a regular file")
        if found.st_size > MAX_BYTES:
            raise ContractError(f"{path} is larger than {MAX_BYTES // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path} cannot be read: {error.strerror}") from error


def _stay_inside(folder: Path, file: str) -> None:
    """Refuse a link that leads out of a model's folder: it is not of the model; raises ContractError."""
    if not leads_inside(folder, file):
        raise ContractError(f"{folder / file} is a link that leads out of its folder")


def leads_inside(folder: Path, file: str) -> bool:
    """Tell whether a file, where links lead, lies in ``folder``; Kubernetes mounts are links within it."""
    return (folder / file).resolve().is_relative_to(folder.resolve())


def check(data: bytes, where: str) -> Card:
    """Check a serialised model against the contract and return its card.

    Raises:
        ContractError: with one sentence that starts with ``where``.
    """
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ContractError(f"{where} is not an ONNX model") from error
    try:
        card = _read_card(model, where)
        problem = next(_problems(model, card), None)
    except (TypeError, ValueError, RecursionError) as error:  # such as a name that is no text, which reads as bytes
        raise ContractError(f"{where} is no ONNX model that can be followed") from error
    if problem:
        raise ContractError(f"{where}: {as_line(problem)}")
    return card


def as_line(text: str) -> str:
    """Return a text that quotes a file as one line of a log: whoever made the file shall write no other."""
    return "".join(one if one.isprintable() else "?" for one in text)[:500]


def _read_card(model: onnx.ModelProto, where: str) -> Card:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    schema = metadata.get("schema")
    if schema != str(SCHEMA):
        raise ContractError(
            f"{where} has metadata schema {as_line(str(schema or 'none'))}, this version reads {SCHEMA}"
        )
    try:
        return Card.model_validate(metadata)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ContractError(f"{where} has bad metadata: {field}: {as_line(first['msg'])}") from error


def _problems(model: onnx.ModelProto, card: Card) -> Iterator[str]:
    """Yield a sentence for each breach, the gravest first."""
    domains = {entry.domain for entry in model.opset_import} | {node.domain for node in _nodes(model.graph.node)}
    if foreign := domains.difference(STANDARD_DOMAINS):
        yield f"operators of {', '.join(sorted(foreign))}; only standard ONNX operators are served"
    if model.functions:
        yield "the model defines functions of its own; only standard ONNX operators are served"
    opset = max((entry.version for entry in model.opset_import), default=0)
    if opset not in OPSETS:
        yield f"opset {opset}; this version serves {OPSETS.start} to {OPSETS.stop - 1}"
    if random := {node.op_type for node in _nodes(model.graph.node)} & RANDOM_OPS:
        yield f"the graph draws random numbers ({', '.join(sorted(random))}); a seed would not fix the picture"
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        yield "weights lie in other files; a model is one file"
    if forks := {node.op_type for node in _nodes(model.graph.node) if any(_graphs(node))}:
        yield f"the graph branches or loops ({', '.join(sorted(forks))}); to draw needs neither, and a loop may not end"
    yield from _signature_problems(model.graph, card)
    yield from _size_problems(model)


def _size_problems(model: onnx.ModelProto) -> Iterator[str]:
    """Yield a sentence for each value that is too large, by its declared or inferred shape."""
    room = 2 * model.ByteSize()  # two numbers a byte are the most that a type holds
    for tensor in _tensors(model.graph):
        if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > room:
            yield f"weights {tensor.name} say that they are {list(tensor.dims)}, more than the file holds"
            return
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # of many kinds, in onnx's C++
        yield f"the shapes in the graph cannot be followed: {(str(error).splitlines() or ['no reason'])[0]}"
        return
    for value in inferred.graph.value_info:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]  # a dynamic dimension reads as 0
        if math.prod(dim or 1 for dim in dims) > MAX_NUMBERS:
            yield f"value {value.name} of the graph would be {dims}; at most {MAX_NUMBERS} numbers an image are served"


def _signature_problems(graph: onnx.GraphProto, card: Card) -> Iterator[str]:
    if card.channels not in (1, 3):
        yield f"{card.channels} channels; pictures have 1 or 3"
    image_shape = [card.height, card.width, card.channels]
    wanted = (
        ("input", graph.input, INPUT, onnx.TensorProto.FLOAT, "float32", [card.latent_dim]),
        ("output", graph.output, OUTPUT, onnx.TensorProto.UINT8, "uint8", image_shape),
    )
    for kind, values, name, element, element_name, shape in wanted:
        promise = f"the {kind} must be {name}, {element_name} [N, {', '.join(map(str, shape))}]"
        if [value.name for value in values] != [name]:
            yield f"{promise}, not {', '.join(value.name for value in values) or 'nothing'}"
            continue
        tensor = values[0].type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]  # a dynamic dimension reads as 0
        if tensor.elem_type != element or dims != [0, *shape]:
            yield f"{promise} with N dynamic, not {_type_name(tensor.elem_type)} {dims}"


def _type_name(element: int) -> str:
    known = onnx.TensorProto.DataType
    return known.Name(element).lower() if element in known.values() else f"type {element}"


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield a node's branches and loop bodies."""
    for attribute in node.attribute:
        yield from ([attribute.g] if attribute.HasField("g") else [])
        yield from attribute.graphs


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield every node, those of branches and loop bodies too."""
    for node in nodes:
        yield node
        for graph in _graphs(node):
            yield from _nodes(graph.node)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every constant, wherever it stands."""
    yield from graph.initializer
    yield from _dense(graph.sparse_initializer)
    for node in _nodes(graph.node):
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            yield from _dense([attribute.sparse_tensor, *attribute.sparse_tensors])
        for inner in _graphs(node):
            yield from inner.initializer
            yield from _dense(inner.sparse_initializer)


def _dense(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in tensors:
        yield from (tensor.values, tensor.indices)
