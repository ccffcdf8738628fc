"""Who may draw, and how much: where there are API keys, all but a few routes ask for one."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.keys import Keys
from service.settings import Settings
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


class Gate:
    """An app behind the keys."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; raises Problem, 401."""
        self._access.check(scope)
        await self.app(scope, receive, send)


def _shown(headers: Headers) -> str:
    """Return the key that a request shows, or nothing."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
