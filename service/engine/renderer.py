"""Draws requests: the models, the batcher that runs them, and whether they are ready."""

import functools
import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service import cpus, memory
from service.engine import latents
from service.engine.batcher import Batcher
from service.engine.checker import Checker
from service.engine.jobs import Job, Timing
from service.engine.library import Library, NotReadyError, load_library
from service.engine.model import Model
from service.engine.providers import registry as providers
from service.engine.requests import Image, RenderRequest
from service.engine.rows import stack
from service.errors import ServiceError, redact_path

logger = logging.getLogger("bentoml.nelumbo.renderer")

LOAD_ENDS = 5.0  # seconds that closing waits for a model that is being opened


class Encoder(Protocol):
    """Turns the images of a request into a result. Both methods run in the batcher's threads."""

    def encode_image(self, request: RenderRequest, index: int, image: Image) -> Any:
        """Return the part of the result that one image makes; ``image`` is (H, W, C) uint8."""

    def combine(self, request: RenderRequest, parts: list[Any]) -> Any:
        """Return the result; ``parts`` are in the order of the request's images."""


class Renderer:
    """Draws images in this process.

    Args:
        models: folder of ``<name>/<version>/model.onnx``.
        provider: name of an execution provider.
        cores: CPUs that this process draws on; by default all that it may use.
        streams: batches that run at once where the provider's device is not the CPU.
        max_batch: most images in one inference.
        queue: most images that wait.
        load_seconds: time that a model file may take to be checked.
        default: the default model, ``digits`` or ``digits@1``; None: the first by name.

    Attributes:
        settled: set once a model is served, or none can be.
    """

    def __init__(
        self,
        models: Path,
        provider: str = "cpu",
        *,
        cores: int | None = None,
        streams: int = 1,
        max_batch: int = 16,
        queue: int = 1024,
        load_seconds: float = 60.0,
        default: str | None = None,
    ) -> None:
        self._models = models
        self._default = default
        self._provider = providers.find(provider)
        self._cores = cpus.available() if cores is None else cores
        self._streams = streams
        self._max_batch = max_batch
        self._queue = queue
        self._checker = Checker(max_batch, load_seconds)
        self.settled = threading.Event()
        self._on_ready: Callable[[], None] = lambda: None
        self._library: Library | None = None
        self._batcher: Batcher | None = None
        self._reason = "the models are being loaded"  # why it is not ready
        self._closed = False
        self._loading = threading.RLock()  # held while models are loaded, which takes seconds
        self._state = threading.Lock()  # held while the attributes above change

    @property
    def library(self) -> Library:
        """The models that are served; raises NotReadyError."""
        if self._library is None:
            raise NotReadyError(self._reason)
        return self._library

    @property
    def served(self) -> Library:
        """The models that are served; empty before they are loaded."""
        return self._library or Library(())

    def start(self, then: Callable[[], None]) -> threading.Thread:
        """Load the models on a thread, which is returned, and call ``then`` once the first of them is served."""
        self._on_ready = then
        thread = threading.Thread(target=self._start, name="load", daemon=True)
        thread.start()
        return thread

    def _start(self) -> None:
        try:
            self.load()
        except NotReadyError:
            return  # closed in the meantime
        except ServiceError as error:
            self._fail(redact_path(str(error), self._models))
            logger.error("Not ready: %s", error)
        except Exception:
            self._fail("the models could not be loaded; the log says why")
            logger.exception("Not ready")
        finally:
            self.settled.set()

    def load(self) -> None:
        """Check the models, open them and warm them up; each is served as soon as it is warm.

        Raises:
            ServiceError: when no model can be served.
            NotReadyError: when the renderer was closed in the meantime.
        """
        with self._loading:
            self._serve(self._read())

    def reload(self) -> Library:
        """Serve what is in the models' folder now; requests that are queued are drawn by the models they asked for.

        Raises:
            ServiceError: when no model there can be served; the models of before are still served.
            NotReadyError: after closing.
        """
        with self._loading:
            if self._closed:
                raise NotReadyError(self._reason)
            library = self._read(self._library)
            self._serve(library)
            memory.give_back()  # models that were replaced had up to hundreds of megabytes
            return library

    def submit(self, request: RenderRequest, encoder: Encoder, deadline: float) -> tuple[Future[Any], Timing]:
        """Queue a request; returns the future of what ``encoder`` makes of it, and its timing, complete when that is.

        Args:
            request: what to draw.
            encoder: makes the result.
            deadline: seconds from now after which the request fails with DeadlinePassedError.

        Raises:
            NotReadyError: before the models are loaded, and after closing.
            QueueFullError: when the queue has no room for all of the request's images.
        """
        if self._batcher is None or self._library is None:
            raise NotReadyError(self._reason)
        job = Job(
            group=request.model,
            items=request.items(),
            encode=functools.partial(encoder.encode_image, request),
            combine=functools.partial(encoder.combine, request),
            deadline=time.monotonic() + deadline,
        )
        self._batcher.submit(job)
        return job.future, job.timing

    def is_alive(self) -> bool:
        """Return whether the batcher's threads live; true while the models are loaded."""
        return self._batcher is None or self._batcher.is_alive()

    def close(self) -> None:
        """Draw what is queued and end the threads; a load that is under way serves nothing when it ends."""
        with self._state:
            self._closed, self._library, self._reason = True, None, "the server is stopping"
        self._checker.close()
        # A thread that is in ONNX Runtime's code when the interpreter ends makes the process abort.
        if self._loading.acquire(timeout=LOAD_ENDS):
            self._loading.release()
        if self._batcher is not None:
            self._batcher.close()

    def _read(self, served: Library | None = None) -> Library:
        slots = self._provider.slots(self._cores, self._streams)
        return load_library(
            self._models,
            self._provider.name,
            slots,
            self._max_batch,
            served,
            checker=self._checker,
            publish=self._serve,
            wanted=self._default,
        )

    def _serve(self, library: Library) -> None:
        """Serve ``library`` from now on; raises NotReadyError if the renderer was closed."""
        if first := self._batcher is None:
            # The collector walks none of this again, which lowers the 99th percentile by 20 ms. There is no collection
            # first: it would take 0.1 s and free 7,000 of 100,000 objects.
            gc.freeze()
        with self._state:
            if self._closed:
                raise NotReadyError(self._reason)
            if self._batcher is None:
                self._batcher = self._make_batcher()
            self._library = library
        if first:
            self.settled.set()
            self._on_ready()

    def _make_batcher(self) -> Batcher:
        return Batcher(
            _prepare,
            _infer,
            slots=self._provider.slots(self._cores, self._streams),
            threads=self._provider.threads(self._cores, self._streams),
            ahead=self._provider.ahead,
            max_batch=self._max_batch,
            bound=self._queue,
        )

    def _fail(self, reason: str) -> None:
        with self._state:
            if not self._closed:
                self._reason = reason


def _prepare(model: Model, item: Any) -> Any:
    """Return an item's latent, (Z,), or the row of a model of schema 2; runs in a thread of the batcher."""
    if model.plain:
        return latents.from_seed(item, model.card.latent_dim) if isinstance(item, int) else item
    return item.to_row(model.card)


def _infer(model: Model, batch: list[Any]) -> NDArray[np.uint8]:
    """Return the images of what was prepared, (N, H, W, C); runs in a thread of the batcher."""
    if model.plain:
        return model.run(stack(batch))
    return model.run_rows(batch)
