"""OpenVINO, as a plug-in of ONNX Runtime: it computes in bfloat16 where the CPU does, which ONNX Runtime cannot."""

import json
import logging

from onnxruntime import OrtEpDevice, SessionOptions

from service.contract import Precision
from service.engine.providers import plugins
from service.errors import ServiceError

logger = logging.getLogger("bentoml.nelumbo.openvino")

NAME, PACKAGE = "OpenVINOExecutionProvider", "onnxruntime_ep_openvino"
PRECISIONS = {Precision.FLOAT32: "f32", Precision.BFLOAT16: "bf16"}  # as OpenVINO calls them


def find_cpu() -> OrtEpDevice:
    """Return the CPU as a device of the registered plug-in; raises ServiceError where it takes none."""
    for device in plugins.devices(NAME):
        if device.ep_metadata.get("ov_device") == "CPU":
            return device
    raise ServiceError("provider openvino takes Intel's CPUs only, and this is none; choose --provider cpu")


def has_bfloat16(device: OrtEpDevice) -> bool:
    """Tell whether OpenVINO has kernels in bfloat16 for this CPU (AMX or AVX512-BF16)."""
    return "BF16" in device.ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split()


def choose(options: SessionOptions, threads: int, precision: Precision) -> None:
    """Let the sessions of ``options`` run on OpenVINO alone, as many inferences at a time as ``threads``."""
    device = find_cpu()
    if precision is Precision.BFLOAT16 and not has_bfloat16(device):
        logger.warning("This CPU has no bfloat16: openvino draws in float32, no faster than --provider cpu")
        precision = Precision.FLOAT32
    properties = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "NUM_STREAMS": str(threads),  # a stream runs one inference at a time, on a thread of its own
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",  # every worker would pin itself to the same cores
    }
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # the whole graph or nothing
    options.add_provider_for_devices([device], {"load_config": json.dumps({"CPU": properties})})
