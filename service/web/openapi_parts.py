"""What the descriptions of routes in openapi.json are made of."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from service.web.openapi_schemas import SCHEMA
from service.web.problem_types import ProblemType
from service.web.problems import MEDIA_TYPE as PROBLEM

Json = dict[str, Any]
JSON = "application/json"
KEYS: Sequence[Json] = ({"bearer": []}, {"header": []}, {})  # the last: none, on a server without keys
REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
LOCATION = {"Location": {"$ref": "#/components/headers/Location"}}
DRAWN = {
    name: {"$ref": f"#/components/headers/{name}"}
    for name in ("X-Model", "X-Deterministic", "X-Seed", "X-Class", "Server-Timing")
}


def get(operation: str, summary: str, content: Json, *statuses: int, **more: Sequence[Json]) -> Json:
    """Return the description of a route that is fetched."""
    responses = answer(f"{summary}.", content) | errors(*statuses)
    return {"get": {"operationId": operation, "summary": summary, "responses": responses} | more}


def answer(description: str, content: Json, headers: Json | None = None) -> Json:
    """Return the description of an answer with status 200."""
    return {"200": {"description": description, "headers": REQUEST_ID | (headers or {}), "content": content}}


def content_of(media_types: Iterable[str], in_json: str) -> Json:
    """Return the content of an answer that is bytes but for its JSON."""
    return {name: schema_of(in_json) if name == JSON else {} for name in media_types}


def schema_of(name: str) -> Json:
    """Return a reference to a schema."""
    return {"schema": {"$ref": SCHEMA.format(model=name)}}


def body(name: str, *, required: bool) -> Json:
    """Return the description of a JSON body."""
    return {"required": required, "content": {JSON: schema_of(name)}}


def parameter(name: str, where: str, schema: Json) -> Json:
    """Return the description of a parameter in the path or the query."""
    description = schema.pop("description", "")
    found = {"name": name, "in": where, "required": where == "path", "schema": schema}
    return found | ({"description": description} if description else {})


def model_parameter() -> Json:
    """Return the description of the name of a model in a path."""
    name_and_version = "name and version, digits@1; a name alone, digits, is its newest version"
    return parameter("model", "path", {"type": "string", "description": name_and_version, "examples": ["digits@1"]})


def errors(*statuses: int) -> Json:
    """Return references to the descriptions of errors."""
    return {str(status): {"$ref": f"#/components/responses/{name_of(status)}"} for status in statuses}


def name_of(status: int) -> str:
    """Return the name of the description of an error."""
    return HTTPStatus(status).phrase.replace(" ", "")


def problem_of(status: int) -> Json:
    """Return the description of the errors of a status."""
    kinds = [kind for kind in ProblemType if kind.status == status]
    headers: Json = dict(REQUEST_ID)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = {"schema": {"type": "integer"}}
    examples = {
        kind.slug: {"value": {"type": kind.uri, "title": kind.title, "status": status, "detail": kind.meaning}}
        for kind in kinds
    }
    content = {PROBLEM: schema_of("ProblemDocument") | {"examples": examples}}
    return {"description": " ".join(kind.meaning for kind in kinds), "headers": headers, "content": content}
