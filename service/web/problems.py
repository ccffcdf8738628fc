"""Every error that a client can meet, as an RFC 9457 problem document."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypedDict

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class FieldError(TypedDict):
    """One field of a body and what is wrong with it."""

    field: str
    message: str


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An answer that is an error; ``detail`` says in one sentence what to change."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def document(self) -> str:
        """Return the problem as JSON, in ASCII: what is quoted of a request may be no valid text."""
        body = {"type": "about:blank", "title": self.status.phrase, "status": self.status, "detail": self.detail}
        return json.dumps(body | ({"errors": list(self.errors)} if self.errors else {})) + "\n"

    def response(self) -> Response:
        """Return the answer to send."""
        return Response(self.document(), self.status, self.headers, MEDIA_TYPE)


def unavailable(detail: str) -> Problem:
    """Return the 503 for a service that could answer if it is asked again in a second."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "1"})
