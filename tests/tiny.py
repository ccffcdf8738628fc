"""The smallest models that keep the contract: random weights, one transposed convolution."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.contract import DIGEST_FILE, INPUT, MODEL_FILE, OUTPUT, Card, Dataset, Rewrite, digest_of


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
