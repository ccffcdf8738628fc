"""Errors as RFC 9457 problem documents."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from starlette.responses import Response

from service.web.problem_types import ProblemType

MEDIA_TYPE = "application/problem+json"


class FieldError(TypedDict):
    """One field of a request and what is wrong with it."""

    field: str
    message: str


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An answer that is an error; ``detail`` says in one sentence what to change."""

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = kind.status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def document(self) -> str:
        """Return the problem as JSON, in ASCII, since what it quotes of a request may be no valid text."""
        body = {"type": self.kind.uri, "title": self.kind.title, "status": self.status, "detail": self.detail}
        return json.dumps(body | ({"errors": list(self.errors)} if self.errors else {})) + "\n"

    def response(self) -> Response:
        """Return the answer to send.

        No cache keeps it: a CDN would keep a 404 for minutes, as of a model that the next server has already.
        """
        return Response(self.document(), self.status, {"Cache-Control": "no-store"} | self.headers, MEDIA_TYPE)


def invalid(kind: ProblemType, errors: Sequence[FieldError]) -> Problem:
    """Return a problem that says what is wrong with each field; ``errors`` has at least one."""
    return Problem(kind, f"{errors[0]['message']}.", errors=errors[:100])


def unavailable(kind: ProblemType, detail: str) -> Problem:
    """Return a problem of a service that may answer the same request a second later."""
    return Problem(kind, detail, headers={"Retry-After": "1"})
