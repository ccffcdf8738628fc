"""Security headers of every answer: against script injection, MIME sniffing, framing and cross-origin use."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),  # the page has a policy of its own
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
SHARED = (b"cross-origin-resource-policy", b"cross-origin")  # where other sites may call the API


def completed(headers: Iterable[Header], wanted: Iterable[Header] = SAFE) -> list[Header]:
    """Return an answer's headers, with those of ``wanted`` added that it does not have."""
    found = list(headers)
    names = {name for name, _ in found}
    return found + [header for header in wanted if header[0] not in names]


class Headers:
    """Middleware that adds the headers of :data:`SAFE` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = completed(message["headers"])
            await send(message)

        await self.app(scope, receive, complete)
