"""NVIDIA's GPUs: ``cuda`` and ``tensorrt`` of onnxruntime-gpu, and the plug-in ``tensorrt-rtx``.

A batch is filled up to the next power of two, its bucket. So kernels are chosen, engines built and memory laid out for
a few sizes, all of which are run before readiness, and never while a client waits.
"""

import hashlib
import logging
import os
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from service.engine import onnx_runtime
from service.engine.providers import plugins
from service.engine.providers.base import (
    OUTPUT,
    Feeds,
    Provider,
    SessionRequest,
    Shape,
    require_built_in,
    session_options,
)
from service.errors import ServiceError
from service.precision import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

logger = logging.getLogger("bentoml.nelumbo.nvidia")

CUDA_NAME, TENSORRT_NAME = "CUDAExecutionProvider", "TensorrtExecutionProvider"
BUILDS = ("onnxruntime", "onnxruntime-gpu")  # two builds of one module, in one folder
PACKAGE = "onnxruntime-gpu in place of onnxruntime (docs/gpu.md)"
CUDA_OPTIONS = {
    "arena_extend_strategy": "kSameAsRequested",  # memory for the buckets, and not for twice as much
    "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE times kernels, and may choose another in the next process
    "use_tf32": "0",  # see _keep_float32
}
RTX = plugins.Plugin(
    name="tensorrt-rtx",
    runtime_name="NvTensorRTRTXExecutionProvider",
    package="onnxruntime_ep_nv_tensorrt_rtx",
    install="pip install 'nelumbo[tensorrt-rtx]'",
    no_device="takes NVIDIA's RTX GPUs only, and none is here",
)


def bucket(count: int) -> int:
    """Return the power of two that ``count`` images are filled up to."""
    return 1 << (count - 1).bit_length()


def check_built_in(name: str, runtime_name: str) -> None:
    """Raise ServiceError if onnxruntime-gpu is not installed, or together with onnxruntime."""
    if len(installed_builds()) > 1:
        raise ServiceError(
            f"{' and '.join(BUILDS)} are both installed and overwrite each other's files; for --provider {name} type: "
            f"pip uninstall -y {' '.join(BUILDS)} && pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    require_built_in(name, runtime_name, PACKAGE)


def installed_builds() -> list[str]:
    """Return the distributions here that bring the module ``onnxruntime``."""

    def is_installed(name: str) -> bool:
        try:
            return bool(distribution(name))
        except PackageNotFoundError:
            return False

    return list(filter(is_installed, BUILDS))


def open_built_in(request: SessionRequest, name: str) -> "InferenceSession":
    """Return a session of ``cuda`` or ``tensorrt``, which may have fallen back to the CPU.

    Raises:
        ServiceError: the provider misses a library.
    """
    onnxruntime = onnx_runtime.load()

    _keep_float32()
    onnxruntime.preload_dlls()  # CUDA and cuDNN, where pip has installed them
    providers = [(CUDA_NAME, CUDA_OPTIONS)]
    if name == "tensorrt":  # CUDA runs what TensorRT does not take
        providers.insert(0, (TENSORRT_NAME, tensorrt_options(request)))
    try:
        # Python's own fallback would change the provider in the middle of serving, and print that.
        return onnxruntime.InferenceSession(request.data, session_options(), providers=providers, enable_fallback=0)
    except RuntimeError as error:  # of a bad model, ONNX Runtime raises others
        raise ServiceError(f"provider {name} misses a library, which the log names; choose --provider cpu") from error


def tensorrt_options(request: SessionRequest) -> dict[str, str]:
    """Return TensorRT's options: one engine for all buckets, kept on disk."""
    folder = engine_cache(request.data)
    cache = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder} if folder else {}
    fast = {"trt_fp16_enable": "1"} if request.precision is Precision.FLOAT16 else {}
    return _profile("trt", request) | cache | fast


def rtx_options(request: SessionRequest) -> dict[str, str]:
    """Return the options of TensorRT for RTX, which keeps to the precision of the graph."""
    _keep_float32()
    folder = engine_cache(request.data)
    return _profile("nv", request) | ({"nv_runtime_cache_path": folder} if folder else {})


def _keep_float32() -> None:
    """Keep NVIDIA's libraries, unless their user says otherwise, from rounding float32 to 10 bits of mantissa.

    TensorRT has no option for it here, and cuDNN's graphs ignore CUDA's (microsoft/onnxruntime, pull 19470).
    """
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")


def _profile(prefix: str, request: SessionRequest) -> dict[str, str]:
    """Return the batches that an engine must take, of each input; it is tuned for the fullest."""
    full = bucket(request.max_batch)
    sizes = {"min": 1, "opt": full, "max": full}
    rows = _rows(request.data)
    return {
        f"{prefix}_profile_{kind}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, [size, *row]))}" for name, row in rows.items()
        )
        for kind, size in sizes.items()
    }


def _rows(data: bytes) -> dict[str, list[int]]:
    """Return the shape of one row of each input of a serialised model: ``{"latent": [128]}``."""
    import onnx

    inputs = onnx.load_model_from_string(data).graph.input
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]] for value in inputs}


def engine_cache(data: bytes) -> str | None:
    """Return the folder of a model's engines, or None where the disk takes none.

    Each model needs its own: TensorRT identifies an engine by its graph and would use another version's weights.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "nelumbo" / "tensorrt" / hashlib.sha256(data).hexdigest()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        logger.warning("Engines are built again at every start: %s", error)
        return None
    return str(folder)


def run(session: "InferenceSession", feeds: Feeds, shape: Shape) -> "NDArray[np.uint8]":
    """Return the images that ``feeds`` make, (N, H, W, C), in a batch filled up to its bucket.

    ONNX Runtime copies the GPU's pixels once, into the array that comes back.
    """
    import numpy as np

    count = len(next(iter(feeds.values())))
    images = np.empty((bucket(count), *shape), np.uint8)
    binding = session.io_binding()
    filled = {name: _fill(value, len(images)) for name, value in feeds.items()}  # kept until the run is over
    for name, value in filled.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output(OUTPUT, "cpu", 0, np.uint8, images.shape, images.ctypes.data)
    session.run_with_iobinding(binding)
    return images[:count]


def _fill(value: "NDArray[np.generic]", rows: int) -> "NDArray[np.generic]":
    """Return (N, …) with rows of zeros up to ``rows``."""
    import numpy as np

    filled = np.zeros((rows, *value.shape[1:]), value.dtype)
    filled[: len(value)] = value
    return filled


def _built_in(name: str, runtime_name: str, runs_on: str) -> Provider:
    return Provider(
        name=name,
        runtime_name=runtime_name,
        package=PACKAGE,
        runs_on=runs_on,
        precision=PRECISION,
        check=partial(check_built_in, name, runtime_name),
        open=partial(open_built_in, name=name),
        run=run,
        rewritten_as="cuda",
    )


PRECISION = "float32 without TF32; float16 for a file that was optimized for it"
CUDA = _built_in("cuda", CUDA_NAME, "NVIDIA GPUs that CUDA 13 knows")
TENSORRT = _built_in("tensorrt", TENSORRT_NAME, "NVIDIA GPUs that TensorRT 10 knows")
TENSORRT_RTX = plugins.provider(
    RTX,
    provider_options=rtx_options,
    runs_on="NVIDIA RTX GPUs from the 30 series on",
    precision=PRECISION,
    run=run,
    rewritten_as="cuda",
)
