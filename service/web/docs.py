"""The API's description: as OpenAPI for programs and, on one page without script, for people."""

import json
from html import escape
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.web import openapi
from service.web.problem_types import ProblemType
from service.web.problems import Problem

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 56rem; padding: 0 1rem }
h2 { border-top: 1px solid; margin-top: 2.5rem; padding-top: 1rem }
table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid; padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top }
pre { overflow-x: auto }
"""
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-cache"}


class DocsRoutes:
    """The handlers; their answers are made once."""

    def __init__(self, max_images: int) -> None:
        self._json = openapi.text(max_images)
        self._html = to_html(openapi.document(max_images))
        self._slugs = {kind.slug for kind in ProblemType}

    async def document(self, _: Request) -> Response:
        """Send the OpenAPI document."""
        return Response(self._json, media_type="application/json")

    async def page(self, _: Request) -> Response:
        """Send the page."""
        return HTMLResponse(self._html, headers=HEADERS)

    async def problem(self, request: Request) -> Response:
        """Redirect from a problem's ``type`` to its description; raises Problem, 404, for an unknown one."""
        slug = request.path_params["slug"]
        if slug not in self._slugs:
            raise Problem(ProblemType.NOT_FOUND, "No problem has this type; see GET /docs.")
        return RedirectResponse(f"../docs#{slug}", HTTPStatus.TEMPORARY_REDIRECT)


def to_html(document: dict[str, Any]) -> str:
    """Return an OpenAPI document of :mod:`service.web.openapi` as a page that loads nothing else."""
    info = document["info"]
    operations = [
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}: the API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><main>'
        f"<h1>{escape(info['title'])}: the API</h1><p>{escape(info['description'])} "
        f'For programs: <a href="openapi.json">openapi.json</a>.</p>{"".join(operations)}{_problems()}</main></html>'
    )


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    fields = [(one["name"], one.get("description", "")) for one in operation.get("parameters", ())]
    example = ""
    if "requestBody" in operation:
        schema = _resolve(document, operation["requestBody"]["content"]["application/json"]["schema"])
        fields = [(name, rule.get("description", "")) for name, rule in schema["properties"].items()]
        example = f"<pre>{escape(chr(10).join(map(json.dumps, schema['examples'])))}</pre>"
    answers = [
        (f"{status} {', '.join(answer.get('content', ()))}", answer["description"])
        for status, given in operation["responses"].items()
        for answer in [_resolve(document, given)]
    ]
    return (
        f'<h2 id="{escape(operation["operationId"])}">{method.upper()} <code>{escape(path)}</code></h2>'
        f"<p><b>{escape(operation['summary'])}.</b> {escape(operation.get('description', ''))}</p>"
        f"{example}{_table('Field', fields)}{_table('Answer', answers)}"
    )


def _problems() -> str:
    rows = "".join(
        f'<tr id="{kind.slug}"><td><code>{kind.slug}</code><td>{kind.status}<td>{escape(kind.meaning)} '
        f"{escape(kind.remedy)}"
        for kind in ProblemType
    )
    return f'<h2 id="problems">Errors</h2><table><tr><th>Type<th>Status<th>Meaning{rows}</table>'


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr><td><code>{escape(name)}</code><td>{escape(text)}" for name, text in rows)
    return f"<table><tr><th>{title}<th>{cells}</table>"


def _resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return what a part of the document refers to, or the part itself."""
    if "$ref" not in part:
        return part
    found: Any = document
    for key in part["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return dict(found)
