"""``POST /invert``: the latent of a picture, found by the model's encoder and a few steps from there."""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from service.engine import inversion
from service.engine.inversion import Images, Inversion
from service.engine.jobs import DeadlinePassedError, QueueFullError
from service.engine.model import Model
from service.engine.renderer import Renderer
from service.engine.requests import Image, RenderRequest
from service.formats import photo
from service.formats.c2pa import Signer, signed
from service.formats.registry import named
from service.web.auth import Access
from service.web.body import Budget, read_body
from service.web.conditions import find_conditions
from service.web.fields import ClassName, ModelName
from service.web.problem_types import ProblemType
from service.web.problems import Problem, unavailable
from service.web.schemas import find_model, read_query, validate
from service.web.threads import BoundedThread, Work
from service.web.wait import wait_for_result

MAX_STEPS = 8
# Images of a key's limit that reading and estimating count as, besides those that are drawn. With cats@3 it takes as
# long as 7 images do for a photo of 6 million pixels, and as 150 for the largest PNG.
ESTIMATE = 16
WAITING = 8  # pictures of a worker


class InvertQuery(BaseModel):
    """The query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelName = None
    steps: Annotated[int, Field(ge=0, le=MAX_STEPS)] = Field(0, description=f"an integer from 0 to {MAX_STEPS}")
    class_: ClassName = Field(None, alias="class")

    @property
    def truncation(self) -> float:
        """Off, as the encoder learned it."""
        return 1.0

    @property
    def directions(self) -> Mapping[str, float]:
        """None are asked for."""
        return {}

    @property
    def class_names(self) -> Sequence[str]:
        """The class that is asked for, if one is."""
        return [self.class_] if self.class_ else []


class InvertRoute:
    """The handler.

    Args:
        renderer: whose models are asked for.
        access: counts what a key asks for.
        signer: signs the image.
        max_photo: most bytes in a body.
        max_images: most images in one job of the batcher.
        deadline: seconds after which the client gets 504.
    """

    def __init__(
        self,
        renderer: Renderer,
        access: Access,
        signer: Signer | None,
        *,
        max_photo: int,
        max_images: int,
        deadline: float,
    ) -> None:
        self._renderer = renderer
        self._access = access
        self._signer = signer
        self._max_photo = max_photo
        self._max_images = max_images
        self._deadline = deadline
        self._thread = BoundedThread(WAITING)
        self._pictures = Budget(WAITING * max_photo)

    async def invert(self, request: Request) -> Response:
        """Find the latent of the picture in the body; answer with it and with its image."""
        end = time.monotonic() + self._deadline
        query = validate(InvertQuery, read_query(request))
        library = self._renderer.library
        model = find_model(library, query.model)
        if model.encoder is None:
            library.require_encoder(model)
            raise Problem(ProblemType.NO_ENCODER, f"Ask for a model with an encoder; {model.ref} has none.")
        conditions = find_conditions(model, query)
        _check_type(request)
        with self._pictures.share() as take:
            body = await read_body(request.headers, request.receive, self._max_photo, take)
            drawn = inversion.images_drawn(model.card.latent_dim, query.steps)
            limits = await self._access.spend(request.scope, ESTIMATE + drawn)

            def work(is_over: Callable[[], bool]) -> bytes:
                def draw(latents: NDArray[np.float32]) -> Images:
                    if is_over():
                        raise CancelledError
                    return self._draw(RenderRequest(model, latents=list(latents), **conditions), end)

                found = self._find(model, body, query.steps, draw)
                return self._answer(RenderRequest(model, latents=[found.latent], **conditions), found)

            content = await self._run(work, request.receive, end - time.monotonic())
        return Response(content, headers={"X-Model": model.ref, **limits}, media_type="application/json")

    async def _run(self, work: Work, receive: Receive, seconds: float) -> bytes:
        """Have the thread do the work; raises Problem, 503 or 504, and ClientGoneError."""
        try:
            return await wait_for_result(self._thread.submit(work), receive, seconds)
        except QueueFullError as error:
            raise unavailable(ProblemType.QUEUE_FULL, "The queue is full; ask again in a second.") from error
        except (DeadlinePassedError, CancelledError) as error:
            detail = f"No latent was found within {self._deadline:g} seconds; ask for fewer steps, or later."
            raise Problem(ProblemType.DEADLINE_PASSED, detail) from error

    def _find(self, model: Model, body: bytes, steps: int, draw: Callable[[NDArray[np.float32]], Images]) -> Inversion:
        """Decode and invert a picture."""
        card = model.card
        try:
            picture = photo.read(body, card.height, card.width, card.channels)
        except photo.PhotoError as error:
            raise Problem(ProblemType.INVALID_PICTURE, f"Send another picture: {error}.") from error

        def draw_in_jobs(latents: NDArray[np.float32]) -> Images:
            firsts = range(0, len(latents), self._max_images)
            return np.concatenate([draw(latents[first : first + self._max_images]) for first in firsts])

        assert model.encoder is not None  # noqa: S101 (checked before)
        return inversion.invert(picture, model.encoder.run(picture[None])[0], draw_in_jobs, steps)

    def _draw(self, drawing: RenderRequest, end: float) -> Images:
        """Return the images of a request, drawn in turn with what others ask for."""
        result, _ = self._renderer.submit(drawing, STACK, end - time.monotonic())
        images: Images = result.result()
        return images

    def _answer(self, drawing: RenderRequest, found: Inversion) -> bytes:
        encoder = signed(named("png"), self._signer)
        png = encoder.combine(drawing, [encoder.encode_image(drawing, 0, found.image)])
        answer = {
            "model": drawing.model.ref,
            "digest": drawing.model.digest,
            "latent": [round(float(number), inversion.DECIMALS) for number in found.latent],
            "class": drawing.class_of(0),
            "truncation": drawing.truncation,
            "distance": found.distance,
            "steps": found.steps,
            "b64_json": base64.b64encode(png).decode(),
        }
        return json.dumps(answer, ensure_ascii=False).encode()


class Stack:
    """An encoder of the engine: makes one array of all images of a request."""

    def encode_image(self, request: RenderRequest, index: int, image: Image) -> Image:
        """Return the image."""
        return image

    def combine(self, request: RenderRequest, parts: list[Any]) -> Images:
        """Return the images, (N, H, W, C)."""
        return np.stack(parts)


STACK = Stack()


def _check_type(request: Request) -> None:
    """Refuse what does not say that it is a picture; raises Problem, 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in photo.MEDIA_TYPES or request.headers.get("content-encoding", "identity").lower() != "identity":
        accepted = ", ".join(photo.MEDIA_TYPES)
        detail = f"Send the picture itself as the body, with its Content-Type: {accepted}."
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept": accepted})
