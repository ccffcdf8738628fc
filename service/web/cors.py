"""Cross-origin requests: browsers let pages of other sites call the API only if their site is allowed."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.web.headers import Headers

SENT = ("Authorization", "Content-Type", "X-API-Key", "X-Request-Id")
READ = (
    *("Content-Disposition", "ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "Server-Timing"),
    *("X-Deterministic", "X-Model", "X-Request-Id", "X-Seed"),
)


def with_cors(app: ASGIApp, origins: str) -> ASGIApp:
    """Return an app that pages of ``origins``, separated by commas, may call; without cookies."""
    return Headers(
        CORSMiddleware(
            app,
            allow_origins=origins.split(","),
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=SENT,
            expose_headers=READ,
            max_age=86400,  # seconds until a browser asks again
        )
    )
