"""The smallest models that satisfy the contract: random weights, one transposed convolution."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.contract import DIGEST_FILE, INPUT, MODEL_FILE, OUTPUT, Card, Dataset, Precision, Rewrite, digest_of
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


def model(described: Card, seed: int = 0) -> onnx.ModelProto:
    """latent (N, Z) -> ConvTranspose to (N, C, H, W) -> 127.5 + 127.5 tanh -> uint8 (N, H, W, C)."""
    z, h, w, c = described.latent_dim, described.height, described.width, described.channels
    weights = np.random.default_rng(seed).normal(size=(z, c, h, w)).astype(np.float32)
    constants = {"weights": weights, "half": np.float32(127.5), "shape": np.array([0, z, 1, 1], np.int64)}
    nodes = [
        helper.make_node("Reshape", [INPUT, "shape"], ["column"]),
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
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", z])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, ["N", h, w, c])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(made, described.to_metadata())
    return made


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
