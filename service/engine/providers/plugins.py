"""Execution providers that plug into the stock ONNX Runtime: a package brings one, and this process loads it."""

import functools
import importlib

import onnxruntime
from onnxruntime import OrtEpDevice

from service.errors import ServiceError


def register(name: str, package: str) -> bool:
    """Load a provider by ONNX Runtime's name from its package; False if that is not installed, raises ServiceError."""
    try:
        plugin = importlib.import_module(package)
    except ImportError:
        return False
    try:
        _register(name, plugin.get_library_path())
    except Exception as error:  # ONNX Runtime's exceptions have no common ancestor but this
        reason = str(error).splitlines()[0].rpartition("with error: ")[2]
        raise ServiceError(
            f"{package} is installed but does not start here ({reason}); choose --provider cpu"
        ) from error
    return True


@functools.cache  # ONNX Runtime refuses a second time
def _register(name: str, library: str) -> None:
    onnxruntime.register_execution_provider_library(name, library)


def devices(name: str) -> list[OrtEpDevice]:
    """Return what a registered provider can run on here."""
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
