"""``POST /render``: BentoML's own API in the wire format of BentoML's clients, answered by this app.

BentoML's handler writes the answer with ``json.dumps`` on the event loop, 0.7 s for 64 images of 64×64 pixels, logs
each client's error as a traceback, and also reads forms, files and Arrow. Here the array is written by NumPy in the
thread that draws it, and the request goes through the same checks, limits and metrics as every other.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.contract.inputs import MAX_CLASSES, MAX_DIRECTIONS
from service.engine import conditions
from service.engine.conditions import ConditionError
from service.engine.requests import Image, RenderRequest
from service.formats.base import AnswerFormat
from service.web.conditions import problem_of
from service.web.drawing import DrawingRoute
from service.web.fields import MAX_ITEMS, WHOLE, Amount, Latent, Truncation
from service.web.schemas import check_count, check_lengths, find_model, validate

DIGITS = np.frombuffer(b"".join(b"%3d," % value for value in range(256)), np.uint32)  # (256,), each 4 characters
Label = Annotated[int, Field(ge=0, lt=MAX_CLASSES), WHOLE]


class ArrayRequest(BaseModel):
    """Latents to draw with the default model, and what else its graph takes, as BentoML's clients send them."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, json_schema_extra={"examples": [{"latents": [[0.5, -1.25]]}]}
    )

    latents: list[Latent] = Field(
        min_length=1,
        max_length=MAX_ITEMS,
        description="a list of latents, each a list of numbers from -1000 to 1000",
        fail_fast=True,
    )
    labels: Annotated[list[Label], Field(max_length=MAX_ITEMS, fail_fast=True)] | None = Field(
        None, description="a list of as many numbers of classes; without it, the first class"
    )
    truncation: Truncation = None
    directions: Annotated[list[Amount], Field(max_length=MAX_DIRECTIONS, fail_fast=True)] | None = Field(
        None, description="a list of numbers from -100 to 100, one for each direction of the model"
    )


@dataclass(frozen=True)
class PixelFormat(AnswerFormat):
    """The pixels of all images as nested lists of JSON."""

    def encode_image(self, request: RenderRequest, index: int, image: Image) -> Image:
        """Return the pixels: the answer is made of all of them."""
        return image

    def combine(self, request: RenderRequest, parts: list[Any]) -> bytes:
        """Return the answer."""
        return to_json(np.stack(parts))


PIXELS = PixelFormat("pixels", "application/json", "json")


class RenderRoute(DrawingRoute[RenderRequest]):
    """The handler; the default model draws."""

    async def render(self, request: Request) -> Response:
        """Draw the latents of the body, and answer with their pixels: (N, H, W, C) nested lists."""
        response = await self._respond(await self._read(request), PIXELS, request)
        del response.headers["vary"]  # no Accept header changes it
        return response

    def _validate(self, data: Any, headers: Headers) -> RenderRequest:
        asked = validate(ArrayRequest, data)
        check_count("latents", len(asked.latents), self._max_images)
        model = find_model(self._renderer.library, None)
        check_lengths({f"latents.{i}": latent for i, latent in enumerate(asked.latents)}, model)
        try:
            numbered = conditions.numbered(model, len(asked.latents), asked.labels, asked.truncation, asked.directions)
        except ConditionError as error:
            raise problem_of(error, error.field) from error
        return RenderRequest(
            model, latents=[np.array(latent, np.float32) for latent in asked.latents], **numbered._asdict()
        )


def to_json(pixels: NDArray[np.uint8]) -> bytes:
    """Return an array of any shape as JSON: nested lists of numbers, each padded with spaces to three digits."""
    text = DIGITS[pixels][..., None].view(np.uint8)  # (..., 4): "  7,"
    for _ in range(pixels.ndim):
        text = text.reshape(*text.shape[:-2], -1)  # the items of one list after the other
        text[..., -1] = ord("]")  # for the comma after the last of them
        text = np.concatenate([_column(text, b"["), text, _column(text, b",")], axis=-1)
    return text[:-1].tobytes()


def _column(text: NDArray[np.uint8], byte: bytes) -> NDArray[np.uint8]:
    return np.full((*text.shape[:-1], 1), ord(byte), np.uint8)
