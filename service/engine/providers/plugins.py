"""Providers that plug into the stock ONNX Runtime: a package brings a library, and this process loads it."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.engine import onnx_runtime
from service.engine.providers.base import Provider, SessionRequest, not_installed, session_options
from service.errors import ServiceError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtEpDevice


@dataclass(frozen=True)
class Plugin:
    """A package that brings a provider.

    Attributes:
        name: what people type.
        runtime_name: what ONNX Runtime calls the provider.
        package: what Python imports.
        install: what brings the package.
        no_device: the end of the sentence "provider NAME …" where it runs on nothing here.
        library: the package's function that returns the path of the library.
        accepts: whether to run on a device that the plug-in offers.
    """

    name: str
    runtime_name: str
    package: str
    install: str
    no_device: str
    library: str = "get_library_path"
    accepts: Callable[["OrtEpDevice"], bool] = lambda _: True

    def check(self) -> None:
        """Load the plug-in and find its device; raises ServiceError."""
        self.find_device()

    def find_device(self) -> "OrtEpDevice":
        """Return the first device that the plug-in runs on; raises ServiceError if it is not installed, or has none."""
        onnxruntime = onnx_runtime.load()

        if not self._load():
            raise not_installed(self.name, self.install)
        for device in onnxruntime.get_ep_devices():
            if device.ep_name == self.runtime_name and self.accepts(device):
                return device
        raise ServiceError(f"provider {self.name} {self.no_device}; choose --provider cpu")

    def open(
        self, request: SessionRequest, provider_options: dict[str, str], whole_graph: bool = False
    ) -> "InferenceSession":
        """Return a session on the plug-in's device; raises ServiceError.

        ``whole_graph`` refuses a model of which the CPU would have to run a part.
        """
        onnxruntime = onnx_runtime.load()

        device = self.find_device()
        options = session_options()
        if whole_graph:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        options.add_provider_for_devices([device], provider_options)
        return onnxruntime.InferenceSession(request.data, options)

    def _load(self) -> bool:
        """Load the library; returns False if the package is not installed, raises ServiceError if it does not start."""
        try:
            package = importlib.import_module(self.package)
        except ImportError:
            return False
        try:
            _register(self.runtime_name, getattr(package, self.library)())
        except Exception as error:  # ONNX Runtime's exceptions have no common ancestor but this
            reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition("with error: ")[2]
            raise ServiceError(
                f"{self.package} is installed but does not start here ({reason}); choose --provider cpu"
            ) from error
        return True


def provider(
    plugin: Plugin, *, provider_options: Callable[[SessionRequest], dict[str, str]] = lambda _: {}, **promises: Any
) -> Provider:
    """Return the entry of a plug-in for the table of providers; ``promises`` are the rest of its fields."""
    entry: dict[str, Any] = {
        "name": plugin.name,
        "runtime_name": plugin.runtime_name,
        "package": plugin.install,
        "check": plugin.check,
        "open": lambda request: plugin.open(request, provider_options(request)),
    }
    return Provider(**entry | promises)


@functools.cache  # ONNX Runtime refuses a second time
def _register(name: str, library: str) -> None:
    onnxruntime = onnx_runtime.load()

    onnxruntime.register_execution_provider_library(name, library)
