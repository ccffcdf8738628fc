"""The route that BentoML answers, behind ours: the description that BentoML's clients read first.

Every request enters our app first, which answers ``/render`` itself (:mod:`service.web.render`). What it hands to
BentoML is marked, since under BentoML's own command our app lies between BentoML's server and BentoML's routes, and
meets it again.
"""

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

CHECKED = "nelumbo.checked"  # in the scope of a request that our app has handed to BentoML


def bento_route(app: ASGIApp) -> Route:
    """Return BentoML's one route that clients may use; nothing else of its app can be reached."""
    return Route("/schema.json", BentoRoute(app), methods=["GET"])


class BentoRoute:
    """A route of BentoML's, as an ASGI app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let BentoML answer."""
        # A copy: BentoML's router writes into it which endpoint it chose.
        await self._app({**scope, CHECKED: True}, receive, send)
