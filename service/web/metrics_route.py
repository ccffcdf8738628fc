"""``GET /metrics``: the metrics of all workers, for Prometheus."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from service.engine.renderer import Renderer
from service.telemetry import metrics

# Seconds of rest for each second that the text took: it is made of every worker's files, on a thread that competes with
# the event loop for the GIL, and anybody may ask for it.
REST = 10
MOST_REST = 1.0  # seconds


class MetricsRoute:
    """The handler; those who ask while a text is awaited share it, so that its cost does not grow with them."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._next: asyncio.Task[bytes] | None = None  # a text that nobody has begun to make
        self._one_at_a_time = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")  # the event loop's own pool keeps up to 32
        self._rest_until = 0.0  # by time.monotonic()

    async def metrics(self, _: Request) -> Response:
        """Send all metrics as they are after the request has come."""
        if self._next is None:
            self._next = asyncio.create_task(self._make())
        text = await asyncio.shield(self._next)  # others may wait for it, too
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _make(self) -> bytes:
        try:
            async with self._one_at_a_time:
                await asyncio.sleep(self._rest_until - time.monotonic())
                self._next = None  # who asks from now on gets the next text
                started = time.monotonic()
                try:
                    return await asyncio.get_running_loop().run_in_executor(self._thread, self._text)
                finally:
                    taken = time.monotonic() - started
                    self._rest_until = time.monotonic() + min(REST * taken, MOST_REST)
        finally:
            if self._next is asyncio.current_task():  # cancelled before it began
                self._next = None

    def _text(self) -> bytes:
        library = self._renderer.served
        models = [(model.ref, model.digest, model.provider) for model in library]
        withdrawn = len(library.withdrawn)
        return metrics.exposition(models, len(library.refused) - withdrawn, withdrawn)
