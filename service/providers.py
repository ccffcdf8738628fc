"""What runs a model: ONNX Runtime's execution providers, by the names that people type."""

import onnxruntime
from onnxruntime import InferenceSession, SessionOptions

from service.errors import ServiceError

# name: (ONNX Runtime's name, what brings it)
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu in place of onnxruntime"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino in place of onnxruntime"),
}


def require(provider: str) -> str:
    """Return ONNX Runtime's name of ``provider``; raises ServiceError where this installation has none of it."""
    if provider not in PROVIDERS:
        raise ServiceError(f"provider {provider} is not known; the providers are {', '.join(PROVIDERS)}")
    name, package = PROVIDERS[provider]
    if name not in onnxruntime.get_available_providers():
        raise ServiceError(f"provider {provider} is not installed; it needs {package}, or choose --provider cpu")
    return name


def open_session(data: bytes, provider: str) -> InferenceSession:
    """Open a session that runs on ``provider`` or not at all; raises ServiceError.

    One session is run from many threads, each with an inference of its own, so it needs no threads itself.
    """
    name = require(provider)
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    session = InferenceSession(data, options, providers=[name])
    if session.get_providers()[0] != name:  # ONNX Runtime falls back to the CPU with no more than a warning
        raise ServiceError(f"provider {provider} is installed but does not start here; choose --provider cpu")
    return session
