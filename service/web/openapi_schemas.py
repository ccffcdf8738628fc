"""The JSON schemas of openapi.json: bodies, answers and problem documents."""

from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from service.formats.registry import MOVING, STILL, Kinds, offered
from service.web.admin import Reloaded
from service.web.fields import MAX_STEPS
from service.web.models import ModelDescription, ModelList
from service.web.openai_images import GeneratedImages, ImagesRequest, ListedModel, ListedModels
from service.web.problem_types import ProblemType
from service.web.render import ArrayRequest
from service.web.schemas import GenerateRequest, InterpolateRequest

SCHEMA = "#/components/schemas/{model}"


class DrawnImage(BaseModel):
    """One image."""

    index: int
    seed: int | None = Field(description="null for a latent")
    class_: str | None = Field(alias="class", description="null where the model has no classes")
    b64_json: str = Field(description="the PNG, in base64")


class Drawn(BaseModel):
    """Images as JSON."""

    model: str = Field(examples=["digits@1"])
    digest: str = Field(description="SHA-256 of the model file, in hexadecimal")
    truncation: float
    directions: dict[str, float] = Field(description="the amounts that are not 0, by the names of their directions")
    data: list[DrawnImage]


class Inverted(BaseModel):
    """The latent of a picture."""

    model: str = Field(examples=["cats@1"])
    digest: str = Field(description="SHA-256 of the model file, in hexadecimal")
    latent: list[float]
    class_: str | None = Field(alias="class", description="null where the model has no classes")
    truncation: float = Field(description="1: to draw the latent again, send it with it", examples=[1.0])
    distance: float = Field(description="mean difference of a pixel from the picture's, in levels of 0 to 255")
    steps: int = Field(description="how many steps were taken; fewer than asked for, where one led no nearer")
    b64_json: str = Field(description="the PNG that the latent draws, in base64")


class FieldProblem(BaseModel):
    """One field of a request and what is wrong with it."""

    field: str = Field(examples=["seed"])
    message: str = Field(examples=["seed must be an integer from 0 to 4294967295"])


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it; ``detail`` says in one sentence what to change."""

    type: str = Field(
        description="what kind of error it is; it never changes", examples=[ProblemType.INVALID_FIELD.uri]
    )
    title: str = Field(examples=[ProblemType.INVALID_FIELD.title])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(examples=["seed must be an integer from 0 to 4294967295."])
    errors: list[FieldProblem] | None = None


BODIES = (GenerateRequest, InterpolateRequest, ArrayRequest, ImagesRequest)
ANSWERS = (
    *(Drawn, Inverted, ModelList, ModelDescription, Reloaded, ProblemDocument),
    *(GeneratedImages, ListedModel, ListedModels),
)


def schemas(max_images: int) -> dict[str, Any]:
    """Return the JSON schemas of bodies and answers, with the limits of the settings and the names of the formats."""
    _, made = models_json_schema(
        [
            *((model, "validation") for model in BODIES),
            *((model, "serialization") for model in ANSWERS),
        ],
        ref_template=SCHEMA,
    )
    found: dict[str, Any] = made["$defs"]
    generate = found["GenerateRequest"]["properties"]
    generate["n"]["anyOf"][0]["maximum"] = max_images
    found["ImagesRequest"]["properties"]["n"]["anyOf"][0]["maximum"] = max_images
    for name in ("seeds", "latents", "classes"):
        generate[name]["anyOf"][0]["maxItems"] = max_images
    found["ArrayRequest"]["properties"]["latents"]["maxItems"] = max_images
    interpolate = found["InterpolateRequest"]["properties"]
    interpolate["steps"]["maximum"] = min(max_images, MAX_STEPS)
    for properties, kinds in ((generate, STILL), (interpolate, MOVING + STILL)):
        properties["format"]["anyOf"][0]["enum"] = list(dict.fromkeys(one.name for one in offered(kinds)))
    forms = [_form("animation", MOVING), _form("strip", STILL)]
    found["InterpolateRequest"]["allOf"] = [{"anyOf": forms}, {"anyOf": ENDS}, {"anyOf": CLASSES}]
    return found


NOTHING = {"type": "null"}
SOME = {"not": NOTHING}
# A body of /interpolate has two ends, or points; and one class for all frames, or several to go through.
ENDS: list[dict[str, Any]] = [
    {"required": ["from", "to"], "properties": {"from": SOME, "to": SOME, "points": NOTHING}},
    {"required": ["points"], "properties": {"points": SOME, "from": NOTHING, "to": NOTHING}},
]
CLASSES: list[dict[str, Any]] = [{"properties": {name: NOTHING}} for name in ("class", "classes")]


def _form(form: str, kinds: Kinds) -> dict[str, Any]:
    """Return the schema of a body of /interpolate in this form: not every format holds both."""
    names = [one.name for one in offered(kinds)]
    return {"properties": {"form": {"const": form}, "format": {"enum": [*names, None]}}}
