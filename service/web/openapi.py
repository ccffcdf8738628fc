"""The API described: OpenAPI 3.1, made from the models that validate, so that it says what is done.

docs/openapi.json is ``python -m service openapi``; a test holds the two together.
"""

import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from service.formats.animation import ANIMATIONS, STRIPS
from service.formats.registry import FORMS
from service.web.admin import Reloaded
from service.web.images import MEDIA_TYPES
from service.web.models import ModelDescription, ModelList
from service.web.problems import MEDIA_TYPE as PROBLEM
from service.web.schemas import MAX_STEPS, GenerateRequest, ImageQuery, InterpolateRequest

Json = dict[str, Any]

JSON = "application/json"
SCHEMA = "#/components/schemas/{model}"


class DrawnImage(BaseModel):
    """One image."""

    index: int
    seed: int | None = Field(description="null for a latent")
    b64_json: str = Field(description="the PNG, in base64")


class Drawn(BaseModel):
    """Images as JSON."""

    model: str = Field(examples=["digits@1"])
    digest: str = Field(description="SHA-256 of the model file, in hexadecimal")
    truncation: float
    data: list[DrawnImage]


class FieldProblem(BaseModel):
    """One field of a request and what is wrong with it."""

    field: str = Field(examples=["seed"])
    message: str = Field(examples=["seed must be an integer from 0 to 4294967295"])


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it; ``detail`` says in one sentence what to change."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(examples=["seed must be an integer from 0 to 4294967295."])
    errors: list[FieldProblem] | None = None


# What each error means here; its name in the document is its phrase without spaces.
ERRORS = {
    400: "The body is not JSON.",
    401: "The key or token is missing or wrong.",
    403: "Only the server's own machine may ask, as it has no token.",
    404: "No such model, or nothing under this path; the models that are served are named.",
    406: "No form that the Accept header allows; those that there are are named.",
    409: "The models cannot be served; those of before are.",
    413: "The body is too long.",
    415: "The body is not said to be JSON.",
    422: "A field or parameter is wrong; each is named, with what it must be.",
    429: "The key has had its images; ask again after Retry-After seconds.",
    503: "The queue is full, or the models are being loaded; ask again after Retry-After seconds.",
    504: "Not drawn in time.",
}
KEYS: Sequence[Json] = ({"bearer": []}, {"header": []}, {})  # the last is: none, on a server that asks for none
REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
DRAWN = {
    name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Model", "X-Deterministic", "X-Seed", "Server-Timing")
}
HEADERS = {
    "X-Request-Id": "the request's own, or one made for it",
    "X-Model": "the model and version that drew, such as digits@1",
    "X-Deterministic": "exact: the same seed draws the same pixels (unsigned, the same bytes); approximate: close ones",
    "X-Seed": "the seeds, with commas; absent for latents",
    "Server-Timing": "milliseconds in the queue, in the model and in encoding",
    "ETag": "changes with whatever decides the bytes",
    "Cache-Control": "how long a cache may keep it",
    "Location": "the same of the newest version",
}


def document(max_images: int = 64) -> Json:
    """Return the description of a server that draws at most ``max_images`` at once."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nelumbo",
            "version": "1",
            "description": "Pictures from seeds and latents. The same seed draws the same picture; X-Deterministic "
            "says whether byte for byte.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "paths": _drawing() | _images() | _models() | _operations(),
        "components": {
            "schemas": _schemas(max_images),
            "responses": {_name(status): _problem(status) for status in ERRORS},
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()},
            "securitySchemes": {
                "admin": {"type": "http", "scheme": "bearer", "description": "NELUMBO_ADMIN_TOKEN"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, where the server has some"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same"},
            },
        },
    }


def text(max_images: int = 64) -> str:
    """Return the description as JSON to read."""
    return json.dumps(document(max_images), indent=2) + "\n"


def _drawing() -> Json:
    errors = (400, 401, 404, 406, 413, 415, 422, 429, 503, 504)
    generate = _answer("The images, in the form that Accept asks for.", _content(FORMS, "Drawn"), DRAWN)
    walk = _answer("The way, in the form that it and Accept ask for.", _content(ANIMATIONS | STRIPS, "Drawn"), DRAWN)
    return {
        "/generate": {
            "post": {
                "operationId": "generate",
                "summary": "Draw images",
                "description": "By seed or latent; from an empty body, a seed that the server draws and reports. "
                "As an image, several come as one sheet.",
                "requestBody": _body("GenerateRequest", required=False),
                "security": KEYS,
                "responses": generate | _errors(*errors),
            }
        },
        "/interpolate": {
            "post": {
                "operationId": "interpolate",
                "summary": "Walk from one image to another",
                "description": "From seed or latent to seed or latent, as an animation (APNG, WebP), a strip, or the "
                "frames as zip or JSON.",
                "requestBody": _body("InterpolateRequest", required=True),
                "security": KEYS,
                "responses": walk | _errors(*errors),
            }
        },
    }


def _images() -> Json:
    cached = {name: {"$ref": f"#/components/headers/{name}"} for name in ("ETag", "Cache-Control")}
    kept = {
        "304": {"description": "The client has it already.", "headers": REQUEST_ID | cached},
        "307": {
            "description": "Where the newest version is, for a name without one.",
            "headers": REQUEST_ID | {"Location": {"$ref": "#/components/headers/Location"}},
        },
    }
    seed = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "examples": [42]}
    truncation = ImageQuery.model_json_schema()["properties"]["truncation"]
    image = _answer("The image.", _content(MEDIA_TYPES.values(), "Drawn"), DRAWN | cached)
    sheet = _answer("The sheet.", {"image/png": {}}, DRAWN | cached)
    return {
        "/images/{model}/{seed}.{format}": {
            "get": {
                "operationId": "image",
                "summary": "One image under a URL that any cache may keep for ever",
                "parameters": [
                    _model_parameter(),
                    _parameter("seed", "path", seed),
                    _parameter("format", "path", {"enum": list(MEDIA_TYPES), "type": "string"}),
                    _parameter("truncation", "query", truncation),
                ],
                "security": KEYS,
                "responses": image | kept | _errors(401, 404, 422, 429, 503, 504),
            }
        },
        "/models/{model}/thumbnail.png": {
            "get": {
                "operationId": "thumbnail",
                "summary": "A sheet of a model's first seeds",
                "parameters": [_model_parameter()],
                "security": KEYS,
                "responses": sheet | kept | _errors(401, 404, 422, 429, 503, 504),
            }
        },
    }


def _models() -> Json:
    return {
        "/models": _get("models", "What is served", {JSON: _schema("ModelList")}, 401, 503, security=KEYS),
        "/models/{model}": _get(
            "model",
            "All about a model",
            {JSON: _schema("ModelDescription")},
            *(401, 404, 503),
            parameters=[_model_parameter()],
            security=KEYS,
        ),
        "/admin/reload": {
            "post": {
                "operationId": "reload",
                "summary": "Serve what is in the models' folder now",
                "description": "The other workers of the server follow within a second.",
                "security": [{"admin": []}, {}],
                "responses": _answer("What is served from now on.", {JSON: _schema("Reloaded")})
                | _errors(401, 403, 409, 503),
            }
        },
    }


def _operations() -> Json:
    return {
        "/metrics": _get("metrics", "For Prometheus", {"text/plain": {}}),
        "/livez": _probe("livez", "Whether the server lives", {"content": {"text/plain": {}}}),
        "/healthz": _probe("healthz", "The same as /livez", {"content": {"text/plain": {}}}),
        "/readyz": _probe("readyz", "Whether it can draw", _problem(503)),
        "/openapi.json": _get("openapi", "This description", {JSON: {}}),
        "/docs": _get("docs", "This description, to read", {"text/html": {}}),
    }


def _get(operation: str, summary: str, content: Json, *errors: int, **more: Sequence[Json]) -> Json:
    responses = _answer(f"{summary}.", content) | _errors(*errors)
    return {"get": {"operationId": operation, "summary": summary, "responses": responses} | more}


def _probe(operation: str, summary: str, refusal: Json) -> Json:
    """Describe one of BentoML's own routes, whose answers carry no X-Request-Id."""
    headers = {name: found for name, found in refusal.get("headers", {}).items() if name not in REQUEST_ID}
    responses = {
        "200": {"description": "Yes.", "content": {"text/plain": {}}},
        "503": {"description": "No.", "headers": headers, "content": refusal["content"]},
    }
    return {"get": {"operationId": operation, "summary": summary, "responses": responses}}


def _answer(description: str, content: Json, headers: Json | None = None) -> Json:
    return {"200": {"description": description, "headers": REQUEST_ID | (headers or {}), "content": content}}


def _content(media_types: Iterable[str], in_json: str) -> Json:
    """Return the content of an answer that is bytes but for its JSON."""
    return {name: _schema(in_json) if name == JSON else {} for name in media_types}


def _schema(name: str) -> Json:
    return {"schema": {"$ref": SCHEMA.format(model=name)}}


def _body(name: str, *, required: bool) -> Json:
    return {"required": required, "content": {JSON: _schema(name)}}


def _parameter(name: str, where: str, schema: Json) -> Json:
    description = schema.pop("description", "")
    found = {"name": name, "in": where, "required": where == "path", "schema": schema}
    return found | ({"description": description} if description else {})


def _model_parameter() -> Json:
    name_and_version = "name and version, digits@1; a name alone, digits, is its newest version"
    return _parameter("model", "path", {"type": "string", "description": name_and_version, "examples": ["digits@1"]})


def _errors(*statuses: int) -> Json:
    return {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in statuses}


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _problem(status: int) -> Json:
    headers: Json = dict(REQUEST_ID)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = {"schema": {"type": "integer"}}
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": ERRORS[status]}
    content = {PROBLEM: _schema("ProblemDocument") | {"example": example}}
    return {"description": ERRORS[status], "headers": headers, "content": content}


def _schemas(max_images: int) -> Json:
    """Return the models' JSON schemas, and in them the limits that are settings."""
    _, made = models_json_schema(
        [
            *((model, "validation") for model in (GenerateRequest, InterpolateRequest)),
            *((model, "serialization") for model in (Drawn, ModelList, ModelDescription, Reloaded, ProblemDocument)),
        ],
        ref_template=SCHEMA,
    )
    found: Json = made["$defs"]
    generate = found["GenerateRequest"]["properties"]
    generate["n"]["anyOf"][0]["maximum"] = max_images
    for name in ("seeds", "latents"):
        generate[name]["anyOf"][0]["maxItems"] = max_images
    found["InterpolateRequest"]["properties"]["steps"]["maximum"] = min(max_images, MAX_STEPS)
    return found
