"""OpenAI's images API, for the clients that speak it: ``POST /v1/images/generations`` and ``GET /v1/models``.

Nelumbo's models read no text. A prompt that is a whole number is a seed, and any other is hashed to one;
``revised_prompt`` says which. https://platform.openai.com/docs/api-reference/images
"""

import base64
import hashlib
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.engine import latents
from service.engine.library import Model
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.formats.base import FilesFormat
from service.web.body import parse_json, read_body, run_by_size
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, invalid
from service.web.responder import Respond
from service.web.schemas import WHOLE, ModelName, find_model, validate

MAX_PROMPT = 32_000  # characters, as OpenAI's newest model has it
SEED = re.compile(r"[0-9]{1,10}")
HOST = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII)
Ignored = Annotated[str | None, Field(description="a text, which is ignored")]


class ImagesRequest(BaseModel):
    """What clients of OpenAI's images API send; what has no meaning here is accepted and ignored."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"prompt": "42"}, {"prompt": "a face that winks", "n": 4, "response_format": "url"}]
        },
    )

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)] = Field(
        description=f"a text of 1 to {MAX_PROMPT} characters: a seed in digits, or words, which are hashed to a seed"
    )
    model: ModelName = None
    n: Annotated[int, Field(ge=1), WHOLE] | None = Field(None, description="an integer of at least 1")
    size: Annotated[str, Field(pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5})$")] | None = Field(
        None, description='"auto", or width and height, such as "64x64"'
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description='"b64_json" or "url"; without it, each image has both'
    )
    output_format: Literal["png"] | None = Field(None, description='"png"')
    stream: Literal[False] | None = Field(None, description="false")
    background: Ignored = None
    moderation: Ignored = None
    quality: Ignored = None
    style: Ignored = None
    user: Ignored = None


class GeneratedImage(BaseModel):
    """One image."""

    b64_json: str | None = Field(None, description="the PNG, in base64")
    url: str | None = Field(None, description="where GET answers the image")
    revised_prompt: str = Field(description="what was drawn", examples=["seed 42 of emoji@1"])


class GeneratedImages(BaseModel):
    """Images, as OpenAI's API answers them."""

    created: int = Field(description="seconds since 1970")
    data: list[GeneratedImage]
    output_format: Literal["png"]
    size: str = Field(description="width and height", examples=["64x64"])


class ListedModel(BaseModel):
    """A model, as OpenAI's API lists it."""

    id: str = Field(description="name and version", examples=["emoji@1"])
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since 1970")
    owned_by: str = Field(description="whose training images it was made from")


class ListedModels(BaseModel):
    """The models that are served, as OpenAI's API lists them."""

    object: Literal["list"] = "list"
    data: list[ListedModel]


class Meaning(NamedTuple):
    """What a prompt asks for."""

    seed: int
    hashed: bool

    def revised(self, seed: int, model: Model) -> str:
        """Return what is drawn for it with one of the seeds."""
        return f"seed {seed} of {model.ref}" + (
            ", for a hash of the prompt: the model reads no text" if self.hashed else ""
        )


def read_prompt(prompt: str) -> Meaning:
    """Return the seed that a prompt is, or is hashed to."""
    text = prompt.strip()
    if SEED.fullmatch(text) and int(text) < latents.SEEDS:
        return Meaning(int(text), hashed=False)
    return Meaning(int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:4], "big"), hashed=True)


class OpenAIRoutes:
    """The handlers.

    Args:
        renderer: whose models are asked for.
        respond: draws and answers.
        max_body: most bytes in a body.
        max_images: most images in one request.
    """

    def __init__(self, renderer: Renderer, respond: Respond, *, max_body: int, max_images: int) -> None:
        self._renderer = renderer
        self._respond = respond
        self._max_body = max_body
        self._max_images = max_images

    async def generations(self, request: Request) -> Response:
        """Draw what a prompt names."""
        body = await read_body(request.headers, request.receive, self._max_body)
        wanted = await run_by_size(len(body), self._read, request.headers, body)
        model = find_model(self._renderer.library, wanted.model)
        _check_size(wanted.size, model)
        meaning = read_prompt(wanted.prompt)
        drawing = RenderRequest(model, seeds=latents.consecutive(meaning.seed, wanted.n or 1))
        told = [
            GeneratedImage(url=_url(request, model, seed), revised_prompt=meaning.revised(seed, model))
            for seed in drawing.seeds
        ]
        if wanted.response_format == "url":  # whoever fetches them has them drawn
            return Response(_answer(told, drawing), media_type="application/json")
        if wanted.response_format == "b64_json":
            told = [one.model_copy(update={"url": None}) for one in told]
        response = await self._respond(drawing, _in_base64(told), request)
        del response.headers["vary"]  # no Accept header changes it
        return response

    def _read(self, headers: Headers, body: bytes) -> ImagesRequest:
        wanted = validate(ImagesRequest, parse_json(headers, body))
        if (wanted.n or 1) > self._max_images:
            message = f"n must be at most {self._max_images}, as many images as this server draws at once"
            raise invalid(ProblemType.TOO_MANY_IMAGES, [FieldError(field="n", message=message)])
        return wanted

    async def models(self, _: Request) -> Response:
        """List the models that are served."""
        listed = ListedModels(data=[_listed(model) for model in self._renderer.library])
        return JSONResponse(listed.model_dump())

    async def model(self, request: Request) -> Response:
        """Describe one model."""
        return JSONResponse(_listed(find_model(self._renderer.library, request.path_params["model"])).model_dump())


def _in_base64(told: Sequence[GeneratedImage]) -> FilesFormat:
    def pack(drawing: RenderRequest, pngs: list[bytes]) -> bytes:
        encoded = [base64.b64encode(png).decode() for png in pngs]
        return _answer(
            [one.model_copy(update={"b64_json": b64}) for one, b64 in zip(told, encoded, strict=True)], drawing
        )

    return FilesFormat("openai", "application/json", "json", pack=pack)


def _answer(images: list[GeneratedImage], drawing: RenderRequest) -> bytes:
    answer = GeneratedImages(
        created=int(time.time()), data=images, output_format="png", size=_native_size(drawing.model)
    )
    return answer.model_dump_json(exclude_none=True).encode()


def _native_size(model: Model) -> str:
    return f"{model.card.width}x{model.card.height}"


def _check_size(size: str | None, model: Model) -> None:
    if size not in (None, "auto", _native_size(model)):
        message = f'size must be "auto" or "{_native_size(model)}", which {model.ref} draws'
        raise invalid(ProblemType.INVALID_FIELD, [FieldError(field="size", message=message)])


def _url(request: Request, model: Model, seed: int) -> str:
    """Return the address of an image, at the host that the client asked."""
    path, host = f"/images/{model.ref}/{seed}.png", request.headers.get("host", "")
    if not HOST.fullmatch(host):
        return path
    # A proxy with TLS in front says so; the header changes nothing but this client's own answer.
    scheme = "https" if request.headers.get("x-forwarded-proto") == "https" else request.url.scheme
    return f"{scheme}://{host}{path}"


def _listed(model: Model) -> ListedModel:
    return ListedModel(id=model.ref, created=_seconds(model.card.date), owned_by=model.card.dataset.name)


def _seconds(date: str) -> int:
    """Return a card's date in seconds since 1970; 0 for what is no date."""
    try:
        return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return 0
