"""OpenAI's images API, for the clients that speak it: ``POST /v1/images/generations`` and ``GET /v1/models``.

Nelumbo's models read no text. A prompt may name a class of the model; one that is a whole number is a seed, and any
other is hashed to one. ``revised_prompt`` says which. https://platform.openai.com/docs/api-reference/images
"""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.engine import latents
from service.engine.model import Model
from service.engine.requests import RenderRequest
from service.formats.base import FilesFormat
from service.web.drawing import DrawingRoute
from service.web.fields import MAX_SCALE, WHOLE, ModelName
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, invalid
from service.web.schemas import check_count, find_model, validate

MAX_PROMPT = 32_000  # characters, as OpenAI's newest model has it
SEED = re.compile(r"[0-9]{1,10}")
HOST = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII)
Ignored = Annotated[str | None, Field(description="a text, which is ignored")]


def _truth(value: Any) -> Any:
    """Return a truth value, and nothing for a number that equals one."""
    return value if isinstance(value, bool) else None


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
        description=f"a text of 1 to {MAX_PROMPT} characters: the name of a class, a seed in digits, or words, "
        "which are hashed to a seed"
    )
    model: ModelName = None
    n: Annotated[int, Field(ge=1), WHOLE] | None = Field(None, description="an integer of at least 1")
    size: Annotated[str, Field(pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5})$")] | None = Field(
        None,
        description=f'"auto", or 1 to {MAX_SCALE} times width and height of the model\'s images, such as "256x256"',
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description='"b64_json" or "url"; without it, each image has both'
    )
    output_format: Literal["png"] | None = Field(None, description='"png"')
    stream: Annotated[Literal[False], BeforeValidator(_truth)] | None = Field(None, description="false")
    background: Ignored = None
    moderation: Ignored = None
    quality: Ignored = None
    style: Ignored = None
    user: Ignored = None


class GeneratedImage(BaseModel):
    """One image."""

    b64_json: str | None = Field(None, description="the PNG, in base64")
    url: str | None = Field(None, description="where GET answers the image")
    revised_prompt: str = Field(description="what was drawn", examples=["seed 42 of emoji@2"])


class GeneratedImages(BaseModel):
    """Images, as OpenAI's API answers them."""

    created: int = Field(description="seconds since 1970")
    data: list[GeneratedImage]
    output_format: Literal["png"]
    size: str = Field(description="width and height", examples=["64x64"])


class ListedModel(BaseModel):
    """A model, as OpenAI's API lists it."""

    id: str = Field(description="name and version", examples=["emoji@2"])
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
    label: int | None = None  # the number of a class
    hashed: bool = False


def read_prompt(prompt: str, classes: Sequence[str] = ()) -> Meaning:
    """Return the class or the seed that a prompt names, or the seed that it is hashed to; a class has a random seed."""
    text = prompt.strip()
    names = [name.casefold() for name in classes]
    for known, wanted in ((classes, text), (names, text.casefold())):
        if wanted in known:
            return Meaning(secrets.randbelow(latents.SEEDS), label=known.index(wanted))
    if SEED.fullmatch(text) and int(text) < latents.SEEDS:
        return Meaning(int(text))
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return Meaning(int.from_bytes(digest[:4], "big"), hashed=True)


class OpenAIRoutes(DrawingRoute[ImagesRequest]):
    """The handlers."""

    async def generations(self, request: Request) -> Response:
        """Draw what a prompt names."""
        wanted = await self._read(request)
        model = find_model(self._renderer.library, wanted.model)
        meaning = read_prompt(wanted.prompt, model.card.classes)
        drawing = RenderRequest(
            model,
            seeds=latents.consecutive(meaning.seed, wanted.n or 1),
            labels=() if meaning.label is None else (meaning.label,),
            truncation=model.card.default_truncation,
            scale=_read_size(wanted.size, model),
        )
        told = [
            GeneratedImage(url=_url(request, drawing, index), revised_prompt=_revised(drawing, index, meaning))
            for index in range(len(drawing))
        ]
        if wanted.response_format == "url":  # whoever fetches them has them drawn
            return Response(_answer(told, drawing), media_type="application/json")
        if wanted.response_format == "b64_json":
            told = [one.model_copy(update={"url": None}) for one in told]
        response = await self._respond(drawing, _in_base64(told), request)
        del response.headers["vary"]  # no Accept header changes it
        return response

    def _validate(self, data: Any, headers: Headers) -> ImagesRequest:
        wanted = validate(ImagesRequest, data)
        check_count("n", wanted.n or 1, self._max_images)
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
    card, scale = drawing.model.card, drawing.scale
    size = f"{card.width * scale}x{card.height * scale}"
    answer = GeneratedImages(created=int(time.time()), data=images, output_format="png", size=size)
    return answer.model_dump_json(exclude_none=True).encode()


def _revised(drawing: RenderRequest, index: int, meaning: Meaning) -> str:
    """Return what is drawn as one of the images."""
    name = drawing.class_of(index)
    said = f"seed {drawing.seeds[index]} of {drawing.model.ref}" + (f", class {name}" if name else "")
    return said + (", for a hash of the prompt: the model reads no text" if meaning.hashed else "")


def _read_size(size: str | None, model: Model) -> int:
    """Return how many times as large as the model draws them images are wanted; raises Problem, 422."""
    width, height = model.card.width, model.card.height
    sizes = [f"{width * scale}x{height * scale}" for scale in range(1, MAX_SCALE + 1)]
    if size in (None, "auto"):
        return 1
    if size not in sizes:
        message = f"size must be auto, or one that {model.ref} can be drawn at: {', '.join(sizes)}"
        raise invalid(ProblemType.INVALID_FIELD, [FieldError(field="size", message=message)])
    return 1 + sizes.index(size)


def _url(request: Request, drawing: RenderRequest, index: int) -> str:
    """Return the address of an image, at the host that the client asked."""
    asked = {"class": drawing.class_of(index)} if drawing.labels else {}
    query = urlencode(asked | ({"scale": drawing.scale} if drawing.scale > 1 else {}))
    path = f"/images/{drawing.model.ref}/{drawing.seeds[index]}.png" + (f"?{query}" if query else "")
    host = request.headers.get("host", "")
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
