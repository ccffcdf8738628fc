"""The route that BentoML answers, behind ours: the description that BentoML's clients read first.

Every request enters our app first, which answers ``/render`` itself (:mod:`service.web.render`). What it hands to
BentoML is marked, since under BentoML's own command our app lies between BentoML's server and BentoML's routes, and
meets it again.
"""

from http import HTTPStatus

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHECKED = "nelumbo.checked"  # in the scope of a request that our app has handed to BentoML


def bento_route(app: ASGIApp) -> Route:
    """Return BentoML's one route that clients may use; nothing else of its app can be reached."""
    return Route("/schema.json", BentoRoute(app), methods=["GET"])


class BentoRoute:
    """A route of BentoML's, as an ASGI app; its answer, which never changes, costs 2 ms and is made once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: tuple[Message, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let BentoML answer the first GET, and answer all others alike."""
        if not self._kept or scope["method"] != "GET":
            await self._ask(scope, receive, send)
            return
        for message in self._kept:
            await send(_copy(message))

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(_copy(message))
            await send(message)

        # A copy: BentoML's router writes into it which endpoint it chose.
        await self._app({**scope, CHECKED: True}, receive, keep)
        if scope["method"] == "GET" and messages and messages[0].get("status") == HTTPStatus.OK:
            self._kept = tuple(messages)


def _copy(message: Message) -> Message:
    """Return a message whose headers can be added to without a change of ours."""
    return {**message, "headers": list(message["headers"])} if "headers" in message else dict(message)
