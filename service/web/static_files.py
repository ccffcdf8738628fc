"""The page's files, read once, with headers that let a browser load nothing from another server."""

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from service.web.problem_types import ProblemType
from service.web.problems import Problem

FOLDER = Path(__file__).parent / "page"
INDEX = "index.html"
ICON = "lotus.svg"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class File(NamedTuple):
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str


class Page:
    """The page's files by name; ``max_images`` is put into the page, so that it asks for no more at once."""

    def __init__(self, max_images: int) -> None:
        self._files = {path.name: _read(path, max_images) for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}

    def answer(self, request: Request, name: str) -> Response:
        """Send a file, or 304 to a browser that has it; raises Problem, 404, for an unknown name."""
        if name not in self._files:
            raise Problem(ProblemType.NOT_FOUND, "The page has no such file; the page is at /.")
        file = self._files[name]
        headers = {
            "ETag": file.etag,
            "Cache-Control": "no-cache",  # a browser keeps it, and asks whether it has changed
            "Content-Security-Policy": POLICY,
            "Vary": "Accept",
        }
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)


def _read(path: Path, max_images: int) -> File:
    content = path.read_bytes()
    if path.name == INDEX:
        content = content.replace(b'data-max-images="16"', f'data-max-images="{max_images}"'.encode())
    return File(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
