"""The API's description: OpenAPI 3.1, made of the schemas that validate and the tables of formats and problems.

docs/openapi.json is what ``python -m service openapi`` prints; a test compares the two.
"""

import json
from http import HTTPStatus

from service.engine.inversion import DAMPINGS
from service.formats.photo import MEDIA_TYPES
from service.formats.registry import MOVING, STILL, image_formats, offered
from service.web.invert import ESTIMATE, InvertQuery
from service.web.openapi_parts import (
    DRAWN,
    JSON,
    KEYS,
    LOCATION,
    REQUEST_ID,
    Json,
    answer,
    body,
    content_of,
    errors,
    get,
    model_parameter,
    name_of,
    parameter,
    problem_of,
    schema_of,
)
from service.web.openapi_schemas import schemas
from service.web.problem_types import ProblemType
from service.web.responder import MAX_SEEDS
from service.web.schemas import ImageQuery

STATUSES = sorted({kind.status for kind in ProblemType})


PIXELS: Json = {"type": "integer", "minimum": 0, "maximum": 255}
for _ in range(4):  # (N, H, W, C)
    PIXELS = {"type": "array", "items": PIXELS}
INVERTED = {"X-Model": DRAWN["X-Model"]}
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
        "paths": _drawing() | _invert() | _images() | _openai() | _models() | _operations(),
        "components": {
            "schemas": schemas(max_images),
            "responses": {name_of(status): problem_of(status) for status in STATUSES},
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
    statuses = (400, 401, 404, 406, 413, 415, 422, 429, 503, 504)
    stills, all_formats = ([one.media_type for one in offered(kinds)] for kinds in (STILL, MOVING + STILL))
    images = answer("The images, in the format that the body or Accept names.", content_of(stills, "Drawn"), DRAWN)
    frames = answer("The frames, in the format that the body or Accept names.", content_of(all_formats, "Drawn"), DRAWN)
    return {
        "/generate": {
            "post": {
                "operationId": "generate",
                "summary": "Draw images",
                "description": "Of seeds or latents; without either, of a random seed, which X-Seed reports. "
                "In an image format, several images are tiled into one.",
                "requestBody": body("GenerateRequest", required=False),
                "security": KEYS,
                "responses": images | errors(*statuses),
            }
        },
        "/interpolate": {
            "post": {
                "operationId": "interpolate",
                "summary": "Draw the frames from one image to another",
                "description": "From a seed or latent to a seed or latent, or through up to eight points; as an "
                "animation, as a strip (one row), or each frame as a PNG.",
                "requestBody": body("InterpolateRequest", required=True),
                "security": KEYS,
                "responses": frames | errors(*statuses),
            }
        },
        "/render": {
            "post": {
                "operationId": "render",
                "summary": "Draw latents for BentoML's clients",
                "description": "With the default model; the answer is the images' pixels, (N, H, W, C) nested lists.",
                "requestBody": body("ArrayRequest", required=True),
                "security": KEYS,
                "responses": answer("The pixels.", {JSON: {"schema": PIXELS}}, DRAWN)
                | errors(*(status for status in statuses if status != HTTPStatus.NOT_ACCEPTABLE)),
            }
        },
    }


def _invert() -> Json:
    query = InvertQuery.model_json_schema()["properties"]
    return {
        "/invert": {
            "post": {
                "operationId": "invert",
                "summary": "Find the latent of a picture",
                "description": "Of its middle square, with a model that has an encoder. The latent draws an image like "
                "the picture: the nearest that the model knows. For a key's limit it counts as the images that it may "
                f"draw, {len(DAMPINGS)} and as many as the latent has numbers in each step, and {ESTIMATE + 1} more.",
                "parameters": [parameter(name, "query", schema) for name, schema in query.items()],
                "requestBody": {"required": True, "content": {name: {} for name in MEDIA_TYPES}},
                "security": KEYS,
                "responses": answer("The latent and its image.", {JSON: schema_of("Inverted")}, INVERTED)
                | errors(401, 404, 413, 414, 415, 422, 429, 503, 504),
            }
        }
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
    image = answer(
        "The image.", content_of([one.media_type for one in image_formats().values()], "Drawn"), DRAWN | cached
    )
    sheet = answer("The sheet.", {"image/png": {}}, DRAWN | cached)
    return {
        "/images/{model}/{seed}.{format}": {
            "get": {
                "operationId": "image",
                "summary": "One image, under a URL that caches may keep forever",
                "parameters": [
                    model_parameter(),
                    parameter("seed", "path", seed),
                    parameter("format", "path", {"enum": list(image_formats()), "type": "string"}),
                    *(parameter(name, "query", schema) for name, schema in query.items()),
                ],
                "security": KEYS,
                "responses": image | kept | errors(401, 404, 414, 422, 429, 503, 504),
            }
        },
        "/models/{model}/thumbnail.png": {
            "get": {
                "operationId": "thumbnail",
                "summary": "A sheet of a model's first seeds",
                "parameters": [model_parameter()],
                "security": KEYS,
                "responses": sheet | kept | errors(401, 404, 414, 422, 429, 503, 504),
            }
        },
    }


def _openai() -> Json:
    statuses = (400, 401, 404, 413, 415, 422, 429, 503, 504)
    return {
        "/v1/images/generations": {
            "post": {
                "operationId": "generations",
                "summary": "Draw images, for clients of OpenAI's API",
                "description": "A prompt names a class, or in digits a seed; any other is hashed to a seed.",
                "requestBody": body("ImagesRequest", required=True),
                "security": KEYS,
                "responses": answer("The images.", {JSON: schema_of("GeneratedImages")}, DRAWN) | errors(*statuses),
            }
        },
        "/v1/models": get(
            "openaiModels",
            "List the models as OpenAI's API does",
            {JSON: schema_of("ListedModels")},
            401,
            503,
            security=KEYS,
        ),
        "/v1/models/{model}": get(
            "openaiModel",
            "Describe a model as OpenAI's API does",
            {JSON: schema_of("ListedModel")},
            *(401, 404, 503),
            parameters=[model_parameter()],
            security=KEYS,
        ),
    }


def _models() -> Json:
    return {
        "/models": get("models", "List the models", {JSON: schema_of("ModelList")}, 401, 503, security=KEYS),
        "/models/{model}": get(
            "model",
            "Describe a model",
            {JSON: schema_of("ModelDescription")},
            *(401, 404, 503),
            parameters=[model_parameter()],
            security=KEYS,
        ),
        "/admin/reload": {
            "post": {
                "operationId": "reload",
                "summary": "Serve the models that are in the folder now",
                "description": "The other workers of the server follow within a second, if `workers` is `all`.",
                "security": [{"admin": []}],
                "responses": answer("The models that are served from now on.", {JSON: schema_of("Reloaded")})
                | errors(401, 404, 409, 503),
            }
        },
    }


def _operations() -> Json:
    return {
        "/metrics": get("metrics", "Metrics, for Prometheus", {"text/plain": {}}),
        "/livez": get("livez", "Whether the server lives", {"text/plain": {}}, 503),
        "/healthz": get("healthz", "The same as /livez", {"text/plain": {}}, 503),
        "/readyz": get("readyz", "Whether it can draw", {"text/plain": {}}, 503),
        "/schema.json": get("schema", "What BentoML's clients read first", {JSON: {}}, 401, security=KEYS),
        "/openapi.json": get("openapi", "This description", {JSON: {}}),
        "/docs": get("docs", "This description, as a page", {"text/html": {}}),
        "/problems/{slug}": {
            "get": {
                "operationId": "problem",
                "summary": "Describe a type of error",
                "parameters": [parameter("slug", "path", {"type": "string", "examples": ["rate-limited"]})],
                "responses": {"307": {"description": "Its place in /docs.", "headers": REQUEST_ID | LOCATION}}
                | errors(404),
            }
        },
    }
