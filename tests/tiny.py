"""The smallest models that satisfy the contract: random weights, one transposed convolution."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.contract import (
    DIGEST_FILE,
    DIRECTIONS,
    INPUT,
    LABEL,
    MODEL_FILE,
    OUTPUT,
    TRUNCATION,
    Card,
    Dataset,
    Precision,
    Rewrite,
    digest_of,
)
from service.engine.providers import openvino
from service.engine.providers import registry as providers
from service.errors import ServiceError


def card(name: str = "tiny", version: int = 1, **changes: Any) -> Card:
    values: dict[str, Any] = {
        "latent_dim": 8, "height": 16, "width": 16, "channels": 1, "recipe": "tiny", "objective": "none",
        "images_seen": 0, "dataset": Dataset(name="noise", licence="CC0-1.0", count=1, digest="0" * 64),
        "run": "00000-tiny", "commit": "0" * 40, "date": "2026-01-01", "licence": "CC0-1.0",
    }  # fmt: skip
    return Card(name=name, version=version, **values | changes)


def conditional(name: str = "letters", version: int = 1, **changes: Any) -> Card:
    """A card with every input of schema 2: three classes, a centre, two directions."""
    values: dict[str, Any] = {
        "classes": ("A", "B", "Ça"), "truncation": True,
        "directions": ({"name": "weight", "range": 3}, {"name": "1", "range": 2.5}),
    }  # fmt: skip
    return card(name, version, **values | changes)


def model(described: Card, seed: int = 0) -> onnx.ModelProto:
    """latent (N, Z) -> ConvTranspose to (N, C, H, W) -> 127.5 + 127.5 tanh -> uint8 (N, H, W, C).

    In schema 2 the latent is first moved by its class, towards a centre, and along axes: see _moved.
    """
    z, h, w, c = described.latent_dim, described.height, described.width, described.channels
    weights = np.random.default_rng(seed).normal(size=(z, c, h, w)).astype(np.float32)
    moves, moved, constants = _moved(described)
    constants |= {"weights": weights, "half": np.float32(127.5), "shape": np.array([0, z, 1, 1], np.int64)}
    nodes = [
        *moves,
        helper.make_node("Reshape", [moved, "shape"], ["column"]),
        helper.make_node("ConvTranspose", ["column", "weights"], ["drawn"]),
        helper.make_node("Tanh", ["drawn"], ["squashed"]),
        helper.make_node("Mul", ["squashed", "half"], ["scaled"]),
        helper.make_node("Add", ["scaled", "half"], ["levels"]),
        helper.make_node("Transpose", ["levels"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["last"], [OUTPUT], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(one.dtype)), ["N", *one.row])
            for name, one in described.inputs().items()
        ],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, ["N", h, w, c])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(made, described.to_metadata())
    return made


def _moved(described: Card) -> tuple[list[onnx.NodeProto], str, dict[str, Any]]:
    """Nodes, the name of what they make of the latent, and constants: centre + t (z + class - centre) + amounts."""
    z, given, rng = described.latent_dim, described.inputs(), np.random.default_rng(7)
    nodes, name, constants = list[onnx.NodeProto](), INPUT, dict[str, Any]()

    def add(kind: str, inputs: list[str], output: str) -> None:
        nonlocal name
        nodes.append(helper.make_node(kind, inputs, [output]))
        name = output

    if LABEL in given:
        constants["table"] = rng.normal(size=(len(described.classes), z)).astype(np.float32)
        nodes.append(helper.make_node("Gather", ["table", LABEL], ["class"]))
        add("Add", [name, "class"], "classed")
    if TRUNCATION in given:
        constants |= {"centre": rng.normal(size=z).astype(np.float32), "thin": np.array([-1, 1], np.int64)}
        nodes.append(helper.make_node("Reshape", [TRUNCATION, "thin"], ["factor"]))
        add("Sub", [name, "centre"], "off centre")
        add("Mul", [name, "factor"], "nearer")
        add("Add", [name, "centre"], "truncated")
    if DIRECTIONS in given:
        constants["axes"] = np.eye(len(described.directions), z, dtype=np.float32)
        nodes.append(helper.make_node("MatMul", [DIRECTIONS, "axes"], ["way"]))
        add("Add", [name, "way"], "directed")
    return nodes, name, constants


def run(made: onnx.ModelProto, output: str, **inputs: np.ndarray) -> np.ndarray:
    """Return an output of the model on the CPU, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    value: np.ndarray = session.run([output], inputs)[0]
    return value


def rewrite(**changes: Any) -> Rewrite:
    values: dict[str, Any] = {
        "provider": "openvino", "precision": "bfloat16", "source": "0" * 64,
        "largest_error": 1, "mean_error": 0.1, "samples": 64, "device": "a CPU",
    }  # fmt: skip
    return Rewrite(**values | changes)


def write(folder: Path, described: Card | None = None, made: onnx.ModelProto | None = None) -> Path:
    """Write a model and its digest under ``folder``; returns ``folder/<name>/<version>``."""
    described = described or card()
    data = (made or model(described)).SerializeToString()
    path = folder / described.name / str(described.version)
    path.mkdir(parents=True)
    (path / MODEL_FILE).write_bytes(data)
    (path / DIGEST_FILE).write_text(f"{digest_of(data)}  {MODEL_FILE}\n")
    return path


def need_openvino(precision: Precision = Precision.FLOAT32) -> None:
    """Skip the calling test if the plug-in is missing or does not accept this CPU."""
    try:
        providers.require("openvino")
    except ServiceError as error:
        pytest.skip(str(error))
    if precision is Precision.BFLOAT16 and not openvino.has_bfloat16(openvino.PLUGIN.find_device()):
        pytest.skip("this CPU has no bfloat16")
