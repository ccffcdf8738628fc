"""The table of providers: settings, help, docs and the library read it.

A provider is added by one entry in :data:`PROVIDERS`.
"""

from typing import TYPE_CHECKING

from service.engine.providers import cpu, mlx, nvidia, openvino, webgpu
from service.engine.providers.base import Provider, SessionRequest
from service.errors import ServiceError
from service.precision import Precision

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        cpu.PROVIDER,
        openvino.PROVIDER,
        nvidia.CUDA,
        nvidia.TENSORRT,
        nvidia.TENSORRT_RTX,
        webgpu.PROVIDER,
        mlx.PROVIDER,
    )
}


def find(name: str) -> Provider:
    """Return the provider of that name; raises ServiceError with the known names."""
    try:
        return PROVIDERS[name]
    except KeyError:
        raise ServiceError(f"provider {name} is not known; the providers are {', '.join(PROVIDERS)}") from None


def require(name: str) -> Provider:
    """Return a provider that is installed and has a device; raises ServiceError."""
    provider = find(name)
    provider.check()
    return provider


def open_session(
    data: bytes,
    provider: str,
    *,
    precision: Precision = Precision.FLOAT32,
    slots: int = 1,
    max_batch: int = 1,
    memory: int = 0,
) -> "InferenceSession":
    """Open a session that runs on ``provider`` or not at all; raises ServiceError.

    ``slots`` inferences run at once, of up to ``max_batch`` images each, which take ``memory`` bytes.
    """
    chosen = require(provider)
    session = chosen.open(SessionRequest(data, precision, slots, max_batch, memory))
    if session.get_providers()[0] != chosen.runtime_name:  # ONNX Runtime falls back to the CPU with a mere warning
        raise ServiceError(f"provider {provider} is installed but does not start here; choose --provider cpu")
    return session
