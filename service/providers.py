"""What runs a model: ONNX Runtime's execution providers, by the names that people type."""

import onnxruntime
from onnxruntime import InferenceSession, SessionOptions

from service import openvino
from service.contract import Precision
from service.errors import ServiceError

# name: (ONNX Runtime's name, what brings it)
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": (
        "CUDAExecutionProvider",
        "onnxruntime-gpu (pip uninstall onnxruntime, then pip install onnxruntime-gpu)",
    ),
    "openvino": (openvino.NAME, "pip install 'nelumbo[openvino]'"),
}


def require(provider: str) -> str:
    """Return ONNX Runtime's name of ``provider``; raises ServiceError where it is not installed or cannot run."""
    if provider not in PROVIDERS:
        raise ServiceError(f"provider {provider} is not known; the providers are {', '.join(PROVIDERS)}")
    name, package = PROVIDERS[provider]
    plugged = provider == "openvino"
    if not (openvino.register() if plugged else name in onnxruntime.get_available_providers()):
        raise ServiceError(f"provider {provider} is not installed; it needs {package}, or choose --provider cpu")
    if plugged:
        openvino.find_cpu()
    return name


def open_session(
    data: bytes, provider: str, *, threads: int = 1, precision: Precision = Precision.FLOAT32
) -> InferenceSession:
    """Open a session that runs on ``provider`` or not at all; raises ServiceError.

    One session is run from ``threads`` threads, each with an inference of its own, so it needs no threads itself.
    """
    name = require(provider)
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    if provider == "openvino":
        openvino.choose(options, threads, precision)
        session = InferenceSession(data, options)
    else:
        session = InferenceSession(data, options, providers=[name])
    if session.get_providers()[0] != name:  # ONNX Runtime falls back to the CPU with no more than a warning
        raise ServiceError(f"provider {provider} is installed but does not start here; choose --provider cpu")
    return session
