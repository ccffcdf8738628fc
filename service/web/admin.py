"""What only the one who runs the server may ask for."""

import asyncio
import secrets
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from service.engine.library import Library
from service.errors import ServiceError
from service.settings import Settings
from service.web.problems import Problem


class Reloaded(BaseModel):
    """What is served from now on."""

    models: list[str] = Field(description="the models that are served")
    refused: list[str] = Field(description="a sentence for each model that is there and cannot be served")


class Admin:
    """The handlers, around what reads the models again."""

    def __init__(self, settings: Settings, reload: Callable[[], Library]) -> None:
        self._token = settings.admin_token
        self._placeless = settings.placeless
        self._reload_models = reload

    async def reload(self, request: Request) -> Response:
        """Serve what is in the models' folder now; the other workers follow within a second."""
        self._check(request)
        try:
            library = await asyncio.to_thread(self._reload_models)
        except ServiceError as error:
            raise Problem(HTTPStatus.CONFLICT, f"Nothing has changed: {self._placeless(str(error))}.") from error
        answer = Reloaded(
            models=[model.ref for model in library], refused=[self._placeless(one) for one in library.refused]
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    def _check(self, request: Request) -> None:
        """Let in who has the token or, where there is none, who is on this machine; raises Problem, 401 or 403."""
        if self._token is not None:
            given = request.headers.get("authorization", "").encode()
            if not secrets.compare_digest(given, f"Bearer {self._token.get_secret_value()}".encode()):
                detail = "Send the header Authorization: Bearer with the token of NELUMBO_ADMIN_TOKEN."
                raise Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
        elif not _is_local(request):
            raise Problem(HTTPStatus.FORBIDDEN, "Ask from the server's own machine, or set NELUMBO_ADMIN_TOKEN there.")


def _is_local(request: Request) -> bool:
    """Tell whether a program on this machine asks: no proxy for somebody, and no page in a browser."""
    if any(name in request.headers for name in ("x-forwarded-for", "forwarded", "origin")):
        return False
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
