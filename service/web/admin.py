"""``/admin``: what only the operator of the server may do."""

import asyncio
import secrets
from collections.abc import Callable
from ipaddress import ip_address

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from service.engine.library import Library
from service.errors import ServiceError
from service.web.problem_types import ProblemType
from service.web.problems import Problem


class Reloaded(BaseModel):
    """The models that are served after a reload."""

    models: list[str] = Field(description="the models that are served")
    refused: list[str] = Field(description="a sentence for each model that is in the folder and cannot be served")


class AdminRoutes:
    """The handlers.

    Args:
        reload: reads the models again.
        token: what a request must send; None admits requests from this machine only.
        redact: takes out of a sentence what clients must not read.
    """

    def __init__(self, reload: Callable[[], Library], token: str | None, redact: Callable[[str], str]) -> None:
        self._reload_models = reload
        self._token = token
        self._redact = redact

    async def reload(self, request: Request) -> Response:
        """Serve what is in the models' folder now; the other workers follow within a second."""
        self._check(request)
        try:
            library = await asyncio.to_thread(self._reload_models)
        except ServiceError as error:
            detail = f"Nothing has changed: {self._redact(str(error))}."
            raise Problem(ProblemType.RELOAD_FAILED, detail) from error
        answer = Reloaded(
            models=[model.ref for model in library], refused=[self._redact(sentence) for sentence in library.refused]
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    def _check(self, request: Request) -> None:
        """Admit who sends the token or, if none is set, programs on this machine; raises Problem, 401 or 403."""
        if self._token is not None:
            given = request.headers.get("authorization", "").encode()
            if not secrets.compare_digest(given, f"Bearer {self._token}".encode()):
                detail = "Send the header Authorization: Bearer with the token of NELUMBO_ADMIN_TOKEN."
                raise Problem(ProblemType.INVALID_TOKEN, detail, headers={"WWW-Authenticate": "Bearer"})
        elif not _is_local(request):
            detail = "Ask from the server's own machine, or set NELUMBO_ADMIN_TOKEN there."
            raise Problem(ProblemType.LOCAL_ONLY, detail)


def _is_local(request: Request) -> bool:
    """Return whether a program on this machine asks: neither a proxy for somebody else nor a page in a browser."""
    if any(name in request.headers for name in ("x-forwarded-for", "forwarded", "origin")):
        return False
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
