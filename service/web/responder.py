"""Draws the images of a request, and makes the HTTP answer."""

import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from service.engine.jobs import DeadlinePassedError, QueueFullError, Timing
from service.engine.renderer import Encoder, Renderer
from service.engine.requests import RenderRequest
from service.formats.base import AnswerFormat, TooLargeError
from service.formats.c2pa import Signer, signed
from service.telemetry import metrics
from service.web import request_log
from service.web.auth import Access
from service.web.problem_types import ProblemType
from service.web.problems import Problem, unavailable
from service.web.wait import wait_for_result

Respond = Callable[[RenderRequest, AnswerFormat, Request], Awaitable[Response]]

MAX_SEEDS = 64  # in X-Seed and X-Class: many proxies and clients refuse a header of more than 8 KiB
MAX_CLASSES = 2048  # characters of X-Class


class Responder:
    """Draws with one renderer; images are signed if there is a signer."""

    def __init__(self, renderer: Renderer, access: Access, signer: Signer | None, deadline: float) -> None:
        self._renderer = renderer
        self._access = access
        self._signer = signer
        self._deadline = deadline

    async def respond(self, drawing: RenderRequest, answer_format: AnswerFormat, request: Request) -> Response:
        """Draw, and answer in a format.

        Raises:
            Problem: 422, 429, 503 or 504.
            NotReadyError: when there are no models.
            ClientGoneError: when the client closed the connection.
        """
        try:
            answer_format.check_size(drawing)
        except TooLargeError as error:
            raise Problem(ProblemType.IMAGE_TOO_LARGE, f"{error}.") from error
        end = time.monotonic() + self._deadline
        limits = await self._access.spend(request.scope, len(drawing))
        encoder = signed(answer_format, self._signer)
        content, timing = await self._draw(drawing, encoder, request.receive, end - time.monotonic())
        metrics.images_of(drawing.model.ref).inc(len(drawing))
        metrics.QUEUE_SECONDS.observe(timing.queue)
        metrics.ENCODE_SECONDS.observe(timing.encode)
        headers = _headers(drawing, answer_format, timing)
        return Response(content, headers=headers | limits, media_type=answer_format.media_type)

    async def _draw(
        self, drawing: RenderRequest, encoder: Encoder, receive: Receive, seconds: float
    ) -> tuple[bytes, Timing]:
        try:
            result, timing = self._renderer.submit(drawing, encoder, seconds)
            request_log.set_drawing(drawing, timing)
            return await wait_for_result(result, receive, seconds), timing
        except QueueFullError as error:
            detail = "The queue is full; ask again in a second, or for fewer images."
            raise unavailable(ProblemType.QUEUE_FULL, detail) from error
        except DeadlinePassedError as error:
            detail = f"The images were not drawn within {self._deadline:g} seconds; ask for fewer, or later."
            raise Problem(ProblemType.DEADLINE_PASSED, detail) from error


def _headers(drawing: RenderRequest, answer_format: AnswerFormat, timing: Timing) -> dict[str, str]:
    disposition = "attachment" if answer_format.attachment else "inline"
    stages = f"queue;dur={timing.queue * 1000:.2f}, infer;dur={timing.infer * 1000:.2f}"
    headers = {
        "X-Model": drawing.model.ref,
        "X-Deterministic": drawing.model.deterministic,
        "Server-Timing": f"{stages}, encode;dur={timing.encode * 1000:.2f}",
        "Vary": "Accept",
        "Content-Disposition": f'{disposition}; filename="{drawing.title()}.{answer_format.extension}"',
    }
    if seeds := drawing.all_seeds():
        more = ",..." if len(seeds) > MAX_SEEDS else ""
        headers["X-Seed"] = ",".join(map(str, seeds[:MAX_SEEDS])) + more
    if classes := drawing.classes(MAX_SEEDS):
        headers["X-Class"] = _class_header(classes, complete=len(classes) in (1, len(drawing)))
    return headers


def _class_header(classes: list[str], *, complete: bool) -> str:
    """Return the names of classes, percent-encoded where a header cannot have them as they are."""
    text = ",".join(quote(name, safe=" !#$&'()*+-./:;=?@[]^_`{|}~") for name in classes)
    if len(text) > MAX_CLASSES:
        text, complete = text[:MAX_CLASSES].rpartition(",")[0], False
    return text + ("" if complete else ",...")
