"""The API's description: OpenAPI 3.1, made of the schemas that validate and the tables of formats and problems.

docs/openapi.json is what ``python -m service openapi`` prints; a test compares the two.
"""

import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from service.formats.registry import MOVING, STILL, image_formats, offered
from service.web.openapi_schemas import SCHEMA, schemas
from service.web.problem_types import ProblemType
from service.web.problems import MEDIA_TYPE as PROBLEM
from service.web.responder import MAX_SEEDS
from service.web.schemas import ImageQuery

Json = dict[str, Any]

JSON = "application/json"
STATUSES = sorted({kind.status for kind in ProblemType})


KEYS: Sequence[Json] = ({"bearer": []}, {"header": []}, {})  # the last: none, on a server without keys
PIXELS: Json = {"type": "integer", "minimum": 0, "maximum": 255}
for _ in range(4):  # (N, H, W, C)
    PIXELS = {"type": "array", "items": PIXELS}
REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
LOCATION = {"Location": {"$ref": "#/components/headers/Location"}}
DRAWN = {
    name: {"$ref": f"#/components/headers/{name}"}
    for name in ("X-Model", "X-Deterministic", "X-Seed", "X-Class", "Server-Timing")
}
HEADERS = {
    "X-Request-Id": "the request's own, or one made for it",
    "X-Model": "the model and version that drew, such as digits@1",
    "X-Deterministic": "exact: the same seed draws the same pixels (unsigned, the same bytes); approximate: close ones",
    "X-Seed": f"the seeds, with commas; of more than {MAX_SEEDS}, as many and then ...; absent for latents",
    "X-Class": "the class of all images or the classes of each, with commas, percent-encoded; as many as X-Seed has; "
    "absent where the model has no classes",
    "Server-Timing": "milliseconds in the queue, in the model and in encoding",
    "ETag": "changes with the model, the provider and the versions that draw and encode; weak",
    "Cache-Control": "how long a cache may keep it",
    "Location": "where it is",
}


def document(max_images: int = 64) -> Json:
    """Return the description of a server that draws at most ``max_images`` at once."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nelumbo",
            "version": "1",
            "description": "Images from seeds and latents. The same seed draws the same image; X-Deterministic "
            "says whether byte for byte.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "paths": _drawing() | _images() | _openai() | _models() | _operations(),
        "components": {
            "schemas": schemas(max_images),
            "responses": {_name(status): _problem(status) for status in STATUSES},
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
    stills, all_formats = ([one.media_type for one in offered(kinds)] for kinds in (STILL, MOVING + STILL))
    images = _answer("The images, in the format that the body or Accept names.", _content(stills, "Drawn"), DRAWN)
    frames = _answer("The frames, in the format that the body or Accept names.", _content(all_formats, "Drawn"), DRAWN)
    return {
        "/generate": {
            "post": {
                "operationId": "generate",
                "summary": "Draw images",
                "description": "Of seeds or latents; without either, of a random seed, which X-Seed reports. "
                "In an image format, several images are tiled into one.",
                "requestBody": _body("GenerateRequest", required=False),
                "security": KEYS,
                "responses": images | _errors(*errors),
            }
        },
        "/interpolate": {
            "post": {
                "operationId": "interpolate",
                "summary": "Draw the frames from one image to another",
                "description": "From a seed or latent to a seed or latent, or through up to eight points; as an "
                "animation, as a strip (one row), or each frame as a PNG.",
                "requestBody": _body("InterpolateRequest", required=True),
                "security": KEYS,
                "responses": frames | _errors(*errors),
            }
        },
        "/render": {
            "post": {
                "operationId": "render",
                "summary": "Draw latents for BentoML's clients",
                "description": "With the default model; the answer is the images' pixels, (N, H, W, C) nested lists.",
                "requestBody": _body("ArrayRequest", required=True),
                "security": KEYS,
                "responses": _answer("The pixels.", {JSON: {"schema": PIXELS}}, DRAWN)
                | _errors(*(status for status in errors if status != HTTPStatus.NOT_ACCEPTABLE)),
            }
        },
    }


def _images() -> Json:
    cached = {name: {"$ref": f"#/components/headers/{name}"} for name in ("ETag", "Cache-Control")}
    kept = {
        "304": {"description": "The client has it already.", "headers": REQUEST_ID | cached},
        "307": {
            "description": "The URL of the newest version, for a name without one.",
            "headers": REQUEST_ID | LOCATION,
        },
    }
    seed = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "examples": [42]}
    query = ImageQuery.model_json_schema()["properties"]
    image = _answer(
        "The image.", _content([one.media_type for one in image_formats().values()], "Drawn"), DRAWN | cached
    )
    sheet = _answer("The sheet.", {"image/png": {}}, DRAWN | cached)
    return {
        "/images/{model}/{seed}.{format}": {
            "get": {
                "operationId": "image",
                "summary": "One image, under a URL that caches may keep forever",
                "parameters": [
                    _model_parameter(),
                    _parameter("seed", "path", seed),
                    _parameter("format", "path", {"enum": list(image_formats()), "type": "string"}),
                    *(_parameter(name, "query", schema) for name, schema in query.items()),
                ],
                "security": KEYS,
                "responses": image | kept | _errors(401, 404, 414, 422, 429, 503, 504),
            }
        },
        "/models/{model}/thumbnail.png": {
            "get": {
                "operationId": "thumbnail",
                "summary": "A sheet of a model's first seeds",
                "parameters": [_model_parameter()],
                "security": KEYS,
                "responses": sheet | kept | _errors(401, 404, 414, 422, 429, 503, 504),
            }
        },
    }


def _openai() -> Json:
    errors = (400, 401, 404, 413, 415, 422, 429, 503, 504)
    return {
        "/v1/images/generations": {
            "post": {
                "operationId": "generations",
                "summary": "Draw images, for clients of OpenAI's API",
                "description": "A prompt names a class, or in digits a seed; any other is hashed to a seed.",
                "requestBody": _body("ImagesRequest", required=True),
                "security": KEYS,
                "responses": _answer("The images.", {JSON: _schema("GeneratedImages")}, DRAWN) | _errors(*errors),
            }
        },
        "/v1/models": _get(
            "openaiModels",
            "List the models as OpenAI's API does",
            {JSON: _schema("ListedModels")},
            401,
            503,
            security=KEYS,
        ),
        "/v1/models/{model}": _get(
            "openaiModel",
            "Describe a model as OpenAI's API does",
            {JSON: _schema("ListedModel")},
            *(401, 404, 503),
            parameters=[_model_parameter()],
            security=KEYS,
        ),
    }


def _models() -> Json:
    return {
        "/models": _get("models", "List the models", {JSON: _schema("ModelList")}, 401, 503, security=KEYS),
        "/models/{model}": _get(
            "model",
            "Describe a model",
            {JSON: _schema("ModelDescription")},
            *(401, 404, 503),
            parameters=[_model_parameter()],
            security=KEYS,
        ),
        "/admin/reload": {
            "post": {
                "operationId": "reload",
                "summary": "Serve the models that are in the folder now",
                "description": "The other workers of the server follow within a second.",
                "security": [{"admin": []}],
                "responses": _answer("The models that are served from now on.", {JSON: _schema("Reloaded")})
                | _errors(401, 404, 409, 503),
            }
        },
    }


def _operations() -> Json:
    return {
        "/metrics": _get("metrics", "Metrics, for Prometheus", {"text/plain": {}}),
        "/livez": _get("livez", "Whether the server lives", {"text/plain": {}}, 503),
        "/healthz": _get("healthz", "The same as /livez", {"text/plain": {}}, 503),
        "/readyz": _get("readyz", "Whether it can draw", {"text/plain": {}}, 503),
        "/schema.json": _get("schema", "What BentoML's clients read first", {JSON: {}}, 401, security=KEYS),
        "/openapi.json": _get("openapi", "This description", {JSON: {}}),
        "/docs": _get("docs", "This description, as a page", {"text/html": {}}),
        "/problems/{slug}": {
            "get": {
                "operationId": "problem",
                "summary": "Describe a type of error",
                "parameters": [_parameter("slug", "path", {"type": "string", "examples": ["rate-limited"]})],
                "responses": {"307": {"description": "Its place in /docs.", "headers": REQUEST_ID | LOCATION}}
                | _errors(404),
            }
        },
    }


def _get(operation: str, summary: str, content: Json, *errors: int, **more: Sequence[Json]) -> Json:
    responses = _answer(f"{summary}.", content) | _errors(*errors)
    return {"get": {"operationId": operation, "summary": summary, "responses": responses} | more}


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
    kinds = [kind for kind in ProblemType if kind.status == status]
    headers: Json = dict(REQUEST_ID)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = {"schema": {"type": "integer"}}
    examples = {
        kind.slug: {"value": {"type": kind.uri, "title": kind.title, "status": status, "detail": kind.meaning}}
        for kind in kinds
    }
    content = {PROBLEM: _schema("ProblemDocument") | {"examples": examples}}
    return {"description": " ".join(kind.meaning for kind in kinds), "headers": headers, "content": content}
