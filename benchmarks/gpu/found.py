"""What is installed: drivers, packages, providers."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator

from benchmarks.gpu.setup import Row, Setup, attempt, available

PACKAGES = (
    "onnxruntime", "onnxruntime-gpu", "torch", "tensorrt", "tensorrt-cu13", "onnxruntime-ep-nv-tensorrt-rtx",
    "nvidia-cudnn-cu13", "onnxruntime-ep-webgpu", "onnxruntime-ep-mlx", "onnxruntime-ep-openvino",
)  # fmt: skip
QUERY = "name,driver_version,memory.total,compute_cap,power.limit"


def measure(setup: Setup) -> Iterator[Row]:
    """Yield a row for the machine, each GPU, package and provider."""
    yield {"what": "machine", "found": f"{len(os.sched_getaffinity(0))} cores, {platform.platform()}"}
    yield attempt({"what": "nvidia-smi"}, lambda: {"found": nvidia_smi(QUERY)})
    for name in PACKAGES:
        yield attempt({"what": name}, lambda name=name: {"found": importlib.metadata.version(name)})
    yield attempt({"what": "torch.cuda"}, _torch_cuda)
    started, missing = available(setup)
    yield from ({"what": f"provider {name}", "found": "starts"} for name in started)
    yield from ({"what": f"provider {row['provider']}", "reason": row["reason"]} for row in missing)


def nvidia_smi(query: str) -> str:
    """Return what nvidia-smi says of the first GPU; raises RuntimeError where there is none."""
    if shutil.which("nvidia-smi") is None:
        raise RuntimeError("nvidia-smi is not installed")
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise RuntimeError(f"nvidia-smi: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def _torch_cuda() -> Row:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError(f"torch {torch.__version__} sees no CUDA GPU")
    return {"found": f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"}
