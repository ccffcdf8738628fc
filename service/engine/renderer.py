"""From a request to its picture: the models, the batcher and whether they are ready."""

import functools
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service import cpus
from service.engine import latents
from service.engine.batcher import Batcher, Order, Timing
from service.engine.library import Library, Model, load_library
from service.errors import ServiceError
from service.formats.c2pa import read_signer, signed
from service.formats.registry import Form, Picture
from service.settings import Settings

logger = logging.getLogger("bentoml.nelumbo.renderer")


class NotReadyError(Exception):
    """Nothing can be drawn now; the message says why."""


class Item(NamedTuple):
    """One image to draw: from a seed or from a latent, (Z,) float32."""

    source: int | NDArray[np.float32]
    truncation: float


class Renderer:
    """Draws pictures, in this process, on as many threads as it has cores."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; raises ServiceError where they name a signer that cannot sign."""
        self._settings = settings
        self.signer = read_signer(settings)
        self._threads = max(1, cpus.available() // settings.workers)
        self._library: Library | None = None
        self._why_not = "the models are being loaded"
        self._batcher: Batcher | None = None
        self._loading = threading.RLock()

    @property
    def library(self) -> Library:
        """The models that are served; raises NotReadyError."""
        if self._library is None:
            raise NotReadyError(self._why_not)
        return self._library

    @property
    def served(self) -> Iterable[Model]:
        """The models that are served; none before they are loaded."""
        return self._library or ()

    def start(self, then: Callable[[], None]) -> threading.Thread:
        """Load on a thread, which is returned, so that a server can say that it is not ready; then call ``then()``."""
        thread = threading.Thread(target=self._start, args=(then,), name="load", daemon=True)
        thread.start()
        return thread

    def _start(self, then: Callable[[], None]) -> None:
        try:
            self.load()
        except ServiceError as error:
            self._why_not = self._settings.placeless(str(error))
            logger.error("Not ready: %s", error)
        except Exception:
            self._why_not = "the models could not be loaded; the log says why"
            logger.exception("Not ready")
        else:
            then()

    def load(self) -> None:
        """Open the models and warm them up; raises ServiceError."""
        settings = self._settings
        with self._loading:
            library = self._read()
            self._batcher = Batcher(_infer, threads=self._threads, max_batch=settings.max_batch, bound=settings.queue)
            gc.collect()
            gc.freeze()  # what is there now stays: never walking it again is worth 20 ms at the 99th percentile
            self._library = library

    def reload(self) -> Library:
        """Serve what is in the models' folder now; what was asked for before is drawn by the model it was asked of.

        Raises:
            ServiceError: when nothing there can be served; what was served is served on.
            NotReadyError: after closing.
        """
        with self._loading:
            if self._batcher is None:
                self.load()
            else:
                self._library = self._read(self.library)
            return self.library

    def _read(self, served: Library | None = None) -> Library:
        settings = self._settings
        return load_library(settings.models, settings.provider, self._threads, settings.max_batch, served)

    def submit(self, picture: Picture, form: Form, deadline: float) -> tuple[Future[Any], Timing]:
        """Queue a picture; its future gets what ``form`` makes of it, its timing is told when it is done.

        Raises:
            NotReadyError: before the models are loaded, and after closing.
            QueueFullError: when there is no room for all of its images.
        """
        if self._batcher is None or self._library is None:
            raise NotReadyError(self._why_not)
        if self.signer:
            form = signed(form, self.signer)
        order = Order(
            lane=picture.model,
            items=_items(picture),
            each=functools.partial(form.each, picture),
            gather=functools.partial(form.gather, picture),
            deadline=time.monotonic() + deadline,
        )
        self._batcher.submit(order)
        return order.future, order.timing

    def is_alive(self) -> bool:
        """Tell whether the threads live; a renderer that still loads is alive."""
        return self._batcher is None or self._batcher.is_alive()

    def close(self) -> None:
        """Finish what is queued and end the threads."""
        self._library, self._why_not = None, "the server is stopping"
        if self._batcher is not None:
            self._batcher.close()


def _items(picture: Picture) -> list[Item]:
    return [Item(source, picture.truncation) for source in picture.seeds or picture.latents]


def _infer(model: Model, items: list[Item]) -> NDArray[np.uint8]:
    """Return the items' images, (N, H, W, C); runs in a pool thread, as drawing latents takes time, too."""
    batch = np.empty((len(items), model.card.latent_dim), np.float32)
    for row, item in zip(batch, items, strict=True):
        latent = latents.from_seed(item.source, len(row)) if isinstance(item.source, int) else item.source
        np.multiply(latent, np.float32(item.truncation), out=row)
    return model.run(batch)
