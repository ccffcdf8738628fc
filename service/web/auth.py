"""Who may draw, and how much: where there are API keys, all but a few routes ask for one."""

from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.keys import Keys
from service.settings import Settings
from service.web.body import NOBODY, ClientGoneError, parse_json, read_body
from service.web.problem_types import ProblemType
from service.web.problems import Problem
from service.web.rate_limit import Allowance

# What tells how the server does and how to use it; /admin has a token of its own. All else, known or not, is closed.
OPEN = frozenset({"/", "/favicon.ico", "/docs", "/openapi.json", "/metrics", "/livez", "/readyz", "/healthz"})
OPEN_FOLDERS = ("/page/", "/admin/", "/problems/")
OWNER = "nelumbo.owner"  # in a request's scope


class Access:
    """The keys, if there are any, and what each may have."""

    def __init__(self, settings: Settings) -> None:
        self.keys = Keys(settings.api_keys) if settings.api_keys else None
        self._allowance = Allowance(settings) if settings.rate or settings.quota else None

    def check(self, scope: Scope) -> None:
        """Note whose key a request shows; raises Problem, 401, where it shows none that is known."""
        if self.keys is None or scope["path"] in OPEN or scope["path"].startswith(OPEN_FOLDERS):
            return
        key = _shown(Headers(scope=scope))
        scope[OWNER] = self.keys.owner(key)
        if scope[OWNER] is None:
            detail = "Send an API key that is valid, as Authorization: Bearer or X-API-Key."
            challenge = 'Bearer realm="nelumbo"' + (', error="invalid_token"' if key else "")
            raise Problem(ProblemType.INVALID_KEY, detail, headers={"WWW-Authenticate": challenge})

    async def spend(self, scope: Scope, images: int) -> dict[str, str]:
        """Count images for the key that was checked, and return headers that tell it; raises Problem, 422 or 429."""
        return await self._allowance.spend(scope[OWNER], images) if self._allowance else {}

    async def spend_on_arrays(self, scope: Scope, data: Any) -> None:
        """Count the latents that a body for BentoML holds; what is wrong with them is BentoML's to say."""
        found = data.get("latents") if isinstance(data, dict) else None
        await self.spend(scope, len(found) if isinstance(found, list) and found else 1)


class Gate:
    """An app behind the keys."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; raises Problem, 401."""
        self._access.check(scope)
        await self.app(scope, receive, send)


class Guard:
    """Holds the route that BentoML itself reads to what the mounted ones hold themselves to.

    That is a key, a body of a certain length, its allowance, and JSON: BentoML would read forms and files, too.
    """

    def __init__(self, app: ASGIApp, path: str, access: Access, limit: int) -> None:
        self.app = app
        self.path = path
        self.access = access
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body first, and pass the request on with it."""
        # Starlette's patterns end in $, which also matches before a line's end: /render%0A is that route, too.
        if scope["type"] != "http" or scope["path"].rstrip("\n") != self.path:
            return await self.app(scope, receive, send)
        try:
            self.access.check(scope)
            body = await read_body(Headers(scope=scope), receive, self.limit)
            await self.access.spend_on_arrays(scope, parse_json(Headers(scope=scope), body))
        except ClientGoneError:
            return await NOBODY(scope, receive, send)
        except Problem as problem:
            return await problem.response()(scope, receive, send)
        return await self.app(scope, _replay(body, receive), send)


def _shown(headers: Headers) -> str:
    """Return the key that a request shows, or nothing."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
