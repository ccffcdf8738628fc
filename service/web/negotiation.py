"""Which form of answer a client wants: the Accept header of RFC 9110, section 12.5.1."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers

from service.web.problems import Problem


def choose(headers: Headers, offers: Sequence[str]) -> str:
    """Return the media type of ``offers`` that the client likes best; of equals the first.

    Raises:
        Problem: 406, with the list, when it likes none.
    """
    accept = ",".join(headers.getlist("accept"))
    if accept.strip() in ("", "*/*") or _is_curls_own(headers):
        return offers[0]
    if accept in offers:  # as most programs ask: there is nothing to weigh
        return accept
    ranges = [found for part in accept.split(",") if (found := _parse(part))]
    best = max(offers, key=lambda offer: _quality(offer, ranges))  # max keeps the first of equals
    if _quality(best, ranges) == 0:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"Accept one of {', '.join(offers)}.")
    return best


def _is_curls_own(headers: Headers) -> bool:
    """Tell whether the Accept header is the one that ``curl --json`` adds by itself.

    It adds ``Content-Type: application/json`` and right after it ``Accept: application/json``, whatever its user wants
    back; with ``-H 'Accept: …'`` the user's own comes before. Without this, ``curl --json … -o 42.png`` gets no PNG.
    """
    own = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
    if not headers.get("user-agent", "").startswith("curl/"):
        return False
    raw = [(name.lower(), value) for name, value in headers.raw]
    return any(raw[i : i + 2] == own for i in range(len(raw)))


def _parse(part: str) -> tuple[str, float] | None:
    """Return a media range and its quality; None for what is neither."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    if media_range.count("/") != 1:
        return None
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
    return (media_range, quality) if 0 <= quality <= 1 else None


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality that the most specific matching range gives to ``offer``; 0 when none matches."""
    for pattern in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        if found := [quality for media_range, quality in ranges if media_range == pattern]:
            return max(found)
    return 0.0
