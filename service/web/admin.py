"""``/admin``: what only the operator of the server may do."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from service.contract import Refusal
from service.engine.library import Library
from service.errors import ServiceError
from service.web.problem_types import ProblemType
from service.web.problems import Problem


class Refused(BaseModel):
    """A model that cannot be served."""

    type: str = Field(description="why, for programs", json_schema_extra={"enum": [kind.slug for kind in Refusal]})
    detail: str = Field(description="why, and what to do")


class Reloaded(BaseModel):
    """The models that are served after a reload, and by whom."""

    workers: Literal["all", "one"] = Field(
        description="the workers that reload: all of the server, the others within a second of this answer; or only "
        "the one that answered, as bentoml serve cannot have its other workers reload"
    )
    models: list[str] = Field(description="the models that are served")
    refused: list[Refused] = Field(description="the models that are in the folder and cannot be served")


class Reload(NamedTuple):
    """How the models are loaded again."""

    load: Callable[[], Library]
    by_all: bool  # whether all workers of the server follow, or this one reloads alone


class AdminRoutes:
    """The handlers.

    Args:
        reload: reads the models again.
        token: returns what a request must send, or None while nobody may ask.
        redact: takes out of a sentence what clients must not read.
    """

    def __init__(self, reload: Reload, token: Callable[[], str | None], redact: Callable[[str], str]) -> None:
        self._reload = reload
        self._token = token
        self._redact = redact
        # One: reloads wait for each other, and each that waits in the event loop's own pool would take a thread there.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reload")

    async def reload(self, request: Request) -> Response:
        """Serve what is in the models' folder now; the other workers follow within a second, where they can."""
        self._check(request)
        try:
            library = await asyncio.get_running_loop().run_in_executor(self._thread, self._reload.load)
        except ServiceError as error:
            detail = f"Nothing has changed: {self._redact(str(error))}."
            raise Problem(ProblemType.RELOAD_FAILED, detail) from error
        answer = Reloaded(
            workers="all" if self._reload.by_all else "one",
            models=[model.ref for model in library],
            refused=[Refused(type=error.kind.slug, detail=self._redact(str(error))) for error in library.refused],
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    def _check(self, request: Request) -> None:
        """Admit who sends the token; raises Problem, 404 if none is set: there is nothing here then, for anybody."""
        if (token := self._token()) is None:
            detail = "Nothing has this path; set NELUMBO_ADMIN_TOKEN, or reload with kill -HUP."
            raise Problem(ProblemType.NOT_FOUND, detail)
        given = request.headers.get("authorization", "").encode()
        if not secrets.compare_digest(given, f"Bearer {token}".encode()):
            detail = "Send the header Authorization: Bearer with the token of NELUMBO_ADMIN_TOKEN."
            raise Problem(ProblemType.INVALID_TOKEN, detail, headers={"WWW-Authenticate": "Bearer"})
