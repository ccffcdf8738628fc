"""What a provider is: how its sessions are opened and run, what brings it, where it runs and what it promises.

Settings and ``--help`` read the table of providers, and ONNX Runtime takes up to a second to import. So modules of this
package import it inside of the functions that need it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.engine import onnx_runtime
from service.errors import ServiceError
from service.precision import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, SessionOptions

Feeds = Mapping[str, "NDArray[Any]"]  # a graph's inputs by name, each (N, …)
Shape = tuple[int, int, int]  # of an image: (H, W, C)
OUTPUT = "image"  # the graph's one output, uint8 (N, H, W, C)


@dataclass(frozen=True)
class SessionRequest:
    """What a session is opened for.

    Attributes:
        data: the serialised model.
        precision: that the model was measured in.
        slots: how many inferences run at once, each called from a thread of its own.
        max_batch: most images in one inference.
        memory: bytes that an inference of so many images takes, the weights apart; 0: unknown.
    """

    data: bytes
    precision: Precision = Precision.FLOAT32
    slots: int = 1
    max_batch: int = 1
    memory: int = 0


def run_session(session: "InferenceSession", feeds: Feeds, shape: Shape) -> "NDArray[np.uint8]":
    """Return the images that ``feeds`` make, (N, H, W, C)."""
    images: NDArray[np.uint8] = session.run([OUTPUT], dict(feeds))[0]
    return images


@dataclass(frozen=True)
class Provider:
    """One execution provider.

    Attributes:
        name: as in ``--provider cuda``.
        runtime_name: what ONNX Runtime calls it.
        package: how to install it: a command, or where that is described.
        runs_on: the devices that it takes.
        precision: what its pixels can be trusted to be.
        check: raises ServiceError, with one sentence, where the provider is not installed or has no device.
        open: returns a session; raises ServiceError where the provider does not start.
        run: runs a batch.
        exact: whether a seed draws the same bytes in every batch, process and machine of one kind.
        on_cores: whether a batch runs on one CPU core, so that as many run at once as there are cores.
        rewritten_as: the name in the file that ``python -m export optimize`` writes for it, model.NAME.onnx; providers
            that share a file share the name.
    """

    name: str
    runtime_name: str
    package: str
    runs_on: str
    precision: str
    check: Callable[[], None]
    open: Callable[[SessionRequest], "InferenceSession"]
    run: Callable[["InferenceSession", Feeds, Shape], "NDArray[np.uint8]"] = run_session
    exact: bool = False
    on_cores: bool = False
    rewritten_as: str = ""

    def slots(self, cores: int, streams: int) -> int:
        """Return how many batches run at once: one on each core, or ``streams`` on an accelerator."""
        return cores if self.on_cores else streams

    def threads(self, cores: int, streams: int) -> int:
        """Return how many threads draw and encode: one a core, and one more for each batch that an accelerator has."""
        return cores if self.on_cores else cores + streams + self.ahead

    @property
    def ahead(self) -> int:
        """How many full batches wait on the device for those that run: one on an accelerator."""
        return 0 if self.on_cores else 1

    def rewritten_file(self) -> str:
        """Return what the file that was rewritten for this provider is called."""
        return f"model.{self.rewritten_as or self.name}.onnx"


def session_options() -> "SessionOptions":
    """Return options for sessions that are called from several threads, and so need no threads themselves."""
    onnxruntime = onnx_runtime.load()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return options


def require_built_in(name: str, runtime_name: str, package: str) -> None:
    """Raise ServiceError if the installed build of ONNX Runtime does not bring a provider."""
    onnxruntime = onnx_runtime.load()

    if runtime_name not in onnxruntime.get_available_providers():
        raise not_installed(name, package)


def not_installed(name: str, package: str) -> ServiceError:
    """Return the error for a provider that nothing here brings."""
    return ServiceError(f"provider {name} is not installed; it needs {package}, or choose --provider cpu")
