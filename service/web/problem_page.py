"""An error as a page, for a person who opened a link: what programs get as a problem document."""

from html import escape

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from service.web.negotiation import choose
from service.web.problems import MEDIA_TYPE, Problem

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>:root {{ color-scheme: light dark; font: 18px/1.5 system-ui, sans-serif }}
body {{ margin: 15vh auto; max-width: 36rem; padding: 0 1rem }} small {{ opacity: .7 }}</style>
<main><h1>{title}</h1><p>{detail}</p><p><a href="/">Draw images</a> · <a href="/docs">How to call this server</a> ·
<a href="{kind}">About this error</a></p><small>{status}</small></main></html>
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def answer(problem: Problem, scope: Scope) -> Response:
    """Return a problem as a page where a browser asks for one, else as a problem document."""
    if scope["method"] != "GET" or not _wants_page(Headers(scope=scope)):
        return problem.response()
    content = PAGE.format(
        title=escape(problem.kind.title),
        detail=escape(problem.detail),
        kind=problem.kind.uri,
        status=problem.status.value,
    )
    headers = problem.headers | {"Content-Security-Policy": POLICY, "Vary": "Accept", "Cache-Control": "no-store"}
    return HTMLResponse(content, problem.status, headers)


def _wants_page(headers: Headers) -> bool:
    try:
        return choose(headers, (MEDIA_TYPE, "text/html")) == "text/html"
    except Problem:  # Accept allows neither
        return False
