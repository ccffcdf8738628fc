"""OpenVINO, as a plug-in of ONNX Runtime: it computes in bfloat16 on CPUs of Intel's that can."""

import json
import logging
from typing import TYPE_CHECKING

from service.engine.providers import plugins
from service.engine.providers.base import SessionRequest
from service.precision import Precision

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtEpDevice

logger = logging.getLogger("bentoml.nelumbo.openvino")

PRECISIONS = {Precision.FLOAT32: "f32", Precision.BFLOAT16: "bf16"}  # as OpenVINO calls them
PLUGIN = plugins.Plugin(
    name="openvino",
    runtime_name="OpenVINOExecutionProvider",
    package="onnxruntime_ep_openvino",
    install="pip install 'nelumbo[openvino]'",
    no_device="takes Intel's CPUs only, and this is none",
    accepts=lambda device: device.ep_metadata.get("ov_device") == "CPU",
)


def has_bfloat16(device: "OrtEpDevice") -> bool:
    """Return whether OpenVINO has kernels in bfloat16 for this CPU (AMX or AVX512-BF16)."""
    return "BF16" in device.ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split()


def properties(device: "OrtEpDevice", request: SessionRequest) -> dict[str, str]:
    """Return OpenVINO's properties: as many inferences at a time as ``request`` has slots."""
    precision = request.precision
    if precision is Precision.BFLOAT16 and not has_bfloat16(device):
        logger.warning("This CPU has no bfloat16: openvino draws in float32, no faster than --provider cpu")
        precision = Precision.FLOAT32
    return {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "NUM_STREAMS": str(request.slots),  # a stream runs one inference at a time, on a thread of its own
        "INFERENCE_NUM_THREADS": str(request.slots),
        "ENABLE_CPU_PINNING": "NO",  # every worker would pin itself to the same cores
    }


def open_session(request: SessionRequest) -> "InferenceSession":
    """Return a session that runs on OpenVINO alone; raises ServiceError."""
    config = {"CPU": properties(PLUGIN.find_device(), request)}
    return PLUGIN.open(request, {"load_config": json.dumps(config)}, whole_graph=True)


PROVIDER = plugins.provider(
    PLUGIN,
    runs_on="Intel CPUs",
    precision="float32; bfloat16 for a file that was optimized for it",
    open=open_session,
    on_cores=True,
)
