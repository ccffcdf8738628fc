"""What runs a model: ONNX Runtime's execution providers, by the names that people type."""

from collections.abc import Callable
from typing import NamedTuple

import onnxruntime
from onnxruntime import InferenceSession, SessionOptions

from service.contract import GPUS, Precision
from service.engine.providers import nvidia, openvino, plugins
from service.errors import ServiceError


class Plugin(NamedTuple):
    """What a provider has that plugs into the stock onnxruntime."""

    package: str
    find: Callable[[], object]  # its device; raises ServiceError


class Provider(NamedTuple):
    """One execution provider."""

    name: str  # ONNX Runtime's
    brought_by: str
    plugin: Plugin | None = None


GPU_PACKAGE = "onnxruntime-gpu in place of onnxruntime (docs/gpu.md)"
PROVIDERS = {
    "cpu": Provider("CPUExecutionProvider", "onnxruntime"),
    "cuda": Provider(nvidia.CUDA, GPU_PACKAGE),
    "tensorrt": Provider(nvidia.TENSORRT, GPU_PACKAGE),
    "tensorrt-rtx": Provider(
        nvidia.RTX, "pip install 'nelumbo[tensorrt-rtx]'", Plugin(nvidia.RTX_PACKAGE, nvidia.find_gpu)
    ),
    "openvino": Provider(openvino.NAME, "pip install 'nelumbo[openvino]'", Plugin(openvino.PACKAGE, openvino.find_cpu)),
}


def require(provider: str) -> str:
    """Return ONNX Runtime's name of ``provider``; raises ServiceError where it is not installed or cannot run."""
    if provider not in PROVIDERS:
        raise ServiceError(f"provider {provider} is not known; the providers are {', '.join(PROVIDERS)}")
    name, brought_by, plugin = PROVIDERS[provider]
    if not (plugins.register(name, plugin.package) if plugin else name in onnxruntime.get_available_providers()):
        raise ServiceError(f"provider {provider} is not installed; it needs {brought_by}, or choose --provider cpu")
    if plugin:
        plugin.find()
    return name


def open_session(
    data: bytes,
    provider: str,
    *,
    threads: int = 1,
    precision: Precision = Precision.FLOAT32,
    largest: nvidia.Shape = (1, 1),
) -> InferenceSession:
    """Open a session that runs on ``provider`` or not at all; raises ServiceError.

    One session is run from ``threads`` threads, each with an inference of its own, so it needs no threads itself.
    ``largest`` is the shape of the largest batch of latents, (N, Z).
    """
    name = require(provider)
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    session = _open(data, options, provider, threads, precision, largest)
    if session.get_providers()[0] != name:  # ONNX Runtime falls back to the CPU with no more than a warning
        raise ServiceError(f"provider {provider} is installed but does not start here; choose --provider cpu")
    return session


def _open(
    data: bytes, options: SessionOptions, provider: str, threads: int, precision: Precision, largest: nvidia.Shape
) -> InferenceSession:
    if provider == "openvino":
        openvino.choose(options, threads, precision)
        return InferenceSession(data, options)
    if provider == "tensorrt-rtx":
        nvidia.choose_rtx(options, data, largest)
        return InferenceSession(data, options)
    if provider in GPUS:
        return nvidia.open_built_in(data, options, provider, precision, largest)
    return InferenceSession(data, options, providers=[PROVIDERS[provider].name])
