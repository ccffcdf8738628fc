"""ONNX Runtime's own provider for CPUs; on ARM it can multiply in bfloat16."""

import logging
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

from service import memory
from service.engine import onnx_runtime
from service.engine.providers.base import Provider, SessionRequest, session_options
from service.precision import Precision

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = logging.getLogger("bentoml.nelumbo.cpu")

RUNTIME_NAME = "CPUExecutionProvider"
ARM_BFLOAT16 = "mlas.enable_gemm_fastmath_arm64_bfloat16"  # a session option of ONNX Runtime
# A session's arena keeps the memory of its largest batch, and up to as much again, for good: three models of 64 MiB a
# batch held 400 MiB. Without one, a batch takes 1 to 5% longer, and gives back what it took.
ARENAS = 64  # times the memory of a batch that there must be for its session to have an arena
CPUINFO = Path("/proc/cpuinfo")


def has_bfloat16() -> bool:
    """Return whether ONNX Runtime has bfloat16 kernels for this CPU: those of ARMv8.6, on Linux."""
    if platform.machine() != "aarch64":
        return False
    try:
        return bool(re.search(r"^Features\s*:.*\bbf16\b", CPUINFO.read_text(), re.MULTILINE))
    except OSError:
        return False


def open_session(request: SessionRequest) -> "InferenceSession":
    """Return a session that computes in float32, or in bfloat16 a model that was measured in it, where the CPU can."""
    onnxruntime = onnx_runtime.load()

    options = session_options()
    options.enable_cpu_mem_arena = request.memory * ARENAS <= memory.available()
    if request.precision is Precision.BFLOAT16:
        if has_bfloat16():
            options.add_session_config_entry(ARM_BFLOAT16, "1")
        else:
            logger.warning("This CPU has no bfloat16 that ONNX Runtime uses: the model is drawn in float32")
    return onnxruntime.InferenceSession(request.data, options, providers=[RUNTIME_NAME])


PROVIDER = Provider(
    name="cpu",
    runtime_name=RUNTIME_NAME,
    package="onnxruntime",
    runs_on="any CPU",
    precision="float32, the same bytes alone or in a batch; on ARM bfloat16 for a file that was optimized for it",
    check=lambda: None,
    open=open_session,
    exact=True,
    on_cores=True,
)
