"""API keys: if there are any, all but a few routes require one; images are counted for each key."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.keys import Keys
from service.web.problem_types import ProblemType
from service.web.problems import Problem
from service.web.rate_limit import RateLimiter

# Paths without a key: documentation, probes, metrics; /admin has its own token. All others need one, even unknown ones.
OPEN = frozenset({"/", "/favicon.ico", "/docs", "/openapi.json", "/metrics", "/livez", "/readyz", "/healthz"})
OPEN_FOLDERS = ("/page/", "/admin/", "/problems/")
OWNER = "nelumbo.owner"  # in a request's scope


class Access:
    """The API keys, if there are any, and the rate limits of each.

    Args:
        keys: None if no key is needed.
        limiter: None if a key may have any number of images.
    """

    def __init__(self, keys: Keys | None = None, limiter: RateLimiter | None = None) -> None:
        self.keys = keys
        self._limiter = limiter

    def check(self, scope: Scope) -> None:
        """Store the name of the request's key in its scope; raises Problem, 401, without a valid key."""
        if self.keys is None or scope["path"] in OPEN or scope["path"].startswith(OPEN_FOLDERS):
            return
        key = _key_of(Headers(scope=scope))
        scope[OWNER] = self.keys.owner(key)
        if scope[OWNER] is None:
            detail = "Send an API key that is valid, as Authorization: Bearer or X-API-Key."
            challenge = 'Bearer realm="nelumbo"' + (', error="invalid_token"' if key else "")
            raise Problem(ProblemType.INVALID_KEY, detail, headers={"WWW-Authenticate": challenge})

    async def spend(self, scope: Scope, images: int) -> dict[str, str]:
        """Count images for the checked key, and return RateLimit headers; raises Problem, 422, 429, 503 or 504."""
        return await self._limiter.spend(scope[OWNER], images) if self._limiter else {}


class KeyMiddleware:
    """Middleware that requires an API key."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; raises Problem, 401."""
        self._access.check(scope)
        await self.app(scope, receive, send)


def _key_of(headers: Headers) -> str:
    """Return the key in a request's headers, or an empty string."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
