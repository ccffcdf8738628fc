"""NVIDIA's GPUs: what ONNX Runtime's three providers for them are asked for, and how a model runs on one.

A batch is filled up to the next power of two, its bucket. So kernels are chosen, engines built and memory laid out for
a few sizes, all of which are warmed before readiness, and never while a client waits.
"""

import logging
import os
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import InferenceSession, OrtEpDevice, SessionOptions

from service.contract import INPUT, OUTPUT, Precision, digest_of
from service.engine.providers import plugins
from service.errors import ServiceError

logger = logging.getLogger("bentoml.nelumbo.nvidia")

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"  # in onnxruntime-gpu
RTX, RTX_PACKAGE = "NvTensorRTRTXExecutionProvider", "onnxruntime_ep_nv_tensorrt_rtx"  # a plug-in
CUDA_OPTIONS = {
    "arena_extend_strategy": "kSameAsRequested",  # memory for the buckets, and not for twice as much
    "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE times kernels, and may choose another in the next process
    "use_tf32": "0",  # see _keep_float32
}

Shape = tuple[int, int]  # of a batch of latents, (N, Z)


def bucket(count: int) -> int:
    """Return the power of two that ``count`` images are filled up to."""
    return 1 << (count - 1).bit_length()


def find_gpu() -> OrtEpDevice:
    """Return a GPU as a device of the registered plug-in; raises ServiceError where there is none that it takes."""
    for device in plugins.devices(RTX):
        return device
    raise ServiceError("provider tensorrt-rtx takes NVIDIA's RTX GPUs only, and none is here; choose --provider cpu")


def open_built_in(
    data: bytes, options: SessionOptions, provider: str, precision: Precision, largest: Shape
) -> InferenceSession:
    """Open a session of onnxruntime-gpu's ``cuda`` or ``tensorrt``; it may have fallen back to the CPU.

    Raises:
        ServiceError: the provider misses a library.
    """
    _keep_float32()
    onnxruntime.preload_dlls()  # CUDA and cuDNN, where pip has installed them
    providers = [(CUDA, CUDA_OPTIONS)]
    if provider == "tensorrt":  # what that does not take is CUDA's
        providers.insert(0, (TENSORRT, tensorrt_options(data, precision, largest)))
    try:
        # Python's own fallback would change the provider in the middle of serving, and print that.
        return InferenceSession(data, options, providers=providers, enable_fallback=0)
    except RuntimeError as error:  # of a bad model, ONNX Runtime raises others
        raise ServiceError(
            f"provider {provider} misses a library, which the log names; choose --provider cpu"
        ) from error


def tensorrt_options(data: bytes, precision: Precision, largest: Shape) -> dict[str, str]:
    """Return TensorRT's options: one engine for all buckets, kept on disk."""
    cache = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder} if (folder := cache_of(data)) else {}
    fast = {"trt_fp16_enable": "1"} if precision is Precision.FLOAT16 else {}
    return _profile("trt", largest) | cache | fast


def choose_rtx(options: SessionOptions, data: bytes, largest: Shape) -> None:
    """Let the sessions of ``options`` run on TensorRT for RTX, which keeps to the precision of the graph."""
    cache = {"nv_runtime_cache_path": folder} if (folder := cache_of(data)) else {}
    _keep_float32()
    options.add_provider_for_devices([find_gpu()], _profile("nv", largest) | cache)


def _keep_float32() -> None:
    """Keep NVIDIA's libraries, unless their user says otherwise, from rounding float32 to 10 bits of mantissa.

    TensorRT has no option for it here, and cuDNN's graphs do not heed CUDA's (microsoft/onnxruntime, pull 19470).
    """
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")


def _profile(prefix: str, largest: Shape) -> dict[str, str]:
    """Return the batches that an engine must take; it is tuned for the fullest, when speed matters most."""
    count, size = largest
    full = f"{INPUT}:{bucket(count)}x{size}"
    shapes = {"min": f"{INPUT}:1x{size}", "opt": full, "max": full}
    return {f"{prefix}_profile_{kind}_shapes": shape for kind, shape in shapes.items()}


def cache_of(data: bytes) -> str | None:
    """Return the folder of a model's engines, or None where the disk takes none.

    Each model needs its own: TensorRT knows engines by their graph, and so takes another version's weights for these.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "nelumbo" / "tensorrt" / digest_of(data)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        logger.warning("Engines are built again at every start: %s", error)
        return None
    return str(folder)


def run(session: InferenceSession, latents: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the images of ``latents``, (N, Z) -> (N, H, W, C), where ``shape`` is (H, W, C).

    The array that comes back is the one that ONNX Runtime copied the GPU's pixels to, once.
    """
    count, size = latents.shape
    filled = np.zeros((bucket(count), size), np.float32)
    filled[:count] = latents
    images = np.empty((len(filled), *shape), np.uint8)
    binding = session.io_binding()
    binding.bind_cpu_input(INPUT, filled)
    binding.bind_output(OUTPUT, "cpu", 0, np.uint8, images.shape, images.ctypes.data)
    session.run_with_iobinding(binding)
    return images[:count]
