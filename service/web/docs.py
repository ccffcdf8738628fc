"""The API's description: as OpenAPI for programs and, on one page with forms to try it, for people."""

import json
from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.web import openapi
from service.web.describe import default, fields, kind
from service.web.problem_types import ProblemType
from service.web.problems import Problem

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 56rem; padding: 0 1rem }
h2 { border-top: 1px solid; margin-top: 2.5rem; padding-top: 1rem }
table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid; padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top }
pre { overflow-x: auto }
form { background: color-mix(in srgb, currentcolor 6%, transparent); padding: .75rem }
form { display: flex; flex-wrap: wrap; gap: .5rem }
form[hidden] { display: none }
input[name=path], textarea, output { flex: 1 1 100%; font: 14px/1.4 ui-monospace, monospace }
output img { image-rendering: pixelated; max-width: 100%; min-width: 128px }
"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; img-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}


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
    """Return an OpenAPI document of :mod:`service.web.openapi` as a page that loads nothing from elsewhere."""
    info = document["info"]
    operations = [
        _Operation(document, method, path, operation).to_html()
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}: the API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        '<script type="module" src="page/docs.js"></script><main>'
        f"<h1>{escape(info['title'])}: the API</h1><p>{escape(info['description'])} "
        'For programs: <a href="openapi.json">openapi.json</a>. The forms send requests to this server.</p>'
        '<p id="access" hidden><label>API key, if the server asks for one: <input id="key" type="password" '
        f'autocomplete="off"></label></p>{"".join(operations)}{_problems()}</main></html>'
    )


class _Operation:
    """A method of a path, and how it is described."""

    def __init__(self, document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> None:
        self._document, self._method, self._path, self._operation = document, method, path, operation

    def to_html(self) -> str:
        """Return its part of the page."""
        operation = self._operation
        summary = f"<b>{escape(operation['summary'])}.</b> {escape(operation.get('description', ''))}"
        return (
            f'<h2 id="{escape(operation["operationId"])}">{self._method.upper()} <code>{escape(self._path)}</code></h2>'
            f"<p>{summary}</p>{self._parameters()}{self._form()}{self._answers()}"
        )

    def _resolve(self, part: dict[str, Any]) -> dict[str, Any]:
        return _resolve(self._document, part)

    def _body(self) -> dict[str, Any] | None:
        """Return the schema of the body; None for none, and for a picture."""
        content = self._operation.get("requestBody", {}).get("content", {}).get("application/json")
        return self._resolve(content["schema"]) if content else None

    def _parameters(self) -> str:
        rows = [
            (
                one["name"],
                self._kind(one["schema"]),
                default(one["schema"], required=one["required"]),
                one.get("description", ""),
            )
            for one in self._operation.get("parameters", ())
        ]
        if (body := self._body()) is not None:
            rows += [
                (name, self._kind(rule), default(rule, required=required), rule.get("description", ""))
                for name, rule, required in fields(body, self._resolve)
            ]
        return _table(("Field", "Value", "Default", "What"), rows)

    def _answers(self) -> str:
        answers = {status: self._resolve(answer) for status, answer in self._operation["responses"].items()}
        rows = [
            (status, ", ".join(answer.get("content", ())), answer["description"]) for status, answer in answers.items()
        ]
        told = {
            name: self._resolve(header).get("description", "")
            for name, header in answers.get("200", {}).get("headers", {}).items()
        }
        content = answers.get("200", {}).get("content", {}).get("application/json", {})
        inside = [
            (name, self._kind(rule), rule.get("description", ""))
            for name, rule, _ in fields(content.get("schema", {}), self._resolve)
        ]
        return (
            _table(("Answer", "Media type", "What"), rows)
            + _table(("Field of the JSON", "Value", "What"), inside)
            + _table(("Header", "What"), list(told.items()))
        )

    def _form(self) -> str:
        """Return a form that sends the request, with an example filled in; none where the body is a picture."""
        if "requestBody" in self._operation and self._body() is None:
            return ""
        path = self._path
        for one in self._operation.get("parameters", ()):
            path = path.replace(f"{{{one['name']}}}", str(_example(one["schema"])))
        body = self._body()
        area = ""
        if body is not None:
            example = escape(json.dumps(body["examples"][0]))
            area = f'<textarea name="body" rows="3" aria-label="Body" spellcheck="false">{example}</textarea>'
        path = f'<input name="path" value="{escape(path)}" aria-label="Path">'
        method = self._method.upper()
        return f'<form hidden data-method="{method}">{path}{area}<button>Send</button><output></output></form>'

    def _kind(self, schema: dict[str, Any]) -> str:
        return kind(schema, self._resolve)


def _example(schema: dict[str, Any]) -> Any:
    return [*schema.get("examples", ()), *schema.get("enum", ()), ""][0]


def _problems() -> str:
    rows = "".join(
        f'<tr id="{kind.slug}"><td><code>{kind.slug}</code><td>{kind.status}<td>{escape(kind.meaning)} '
        f"{escape(kind.remedy)}"
        for kind in ProblemType
    )
    return f'<h2 id="problems">Errors</h2><table><tr><th>Type<th>Status<th>Meaning{rows}</table>'


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{title}" for title in titles)
    cells = (
        f"<tr><td><code>{escape(name)}</code>{''.join(f'<td>{escape(one)}' for one in rest)}" for name, *rest in rows
    )
    return f"<table><tr>{head}{''.join(cells)}</table>"


def _resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return what a part of the document refers to, or the part itself."""
    if "$ref" not in part:
        return part
    found: Any = document
    for key in part["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return dict(found)
