"""Which format a client wants: the body's field ``format``, or else the Accept header of RFC 9110, section 12.5.1."""

import re
from collections.abc import Collection, Iterable, Sequence

from starlette.datastructures import Headers

from service.formats.base import AnswerFormat
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, Problem, invalid

MAX_ACCEPT = 4096  # characters of an Accept header that are read, and
MAX_RANGES = 32  # media ranges: browsers send up to 8
QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII)
# An item between two commas or semicolons; a quoted string may contain either.
PARTS = {mark: re.compile(rf'(?:[^{mark}"]|"(?:[^"\\]|\\.)*"?)+') for mark in ",;"}


class Offer:
    """The formats that a route offers, in the order in which they are preferred."""

    def __init__(self, formats: Iterable[AnswerFormat]) -> None:
        self._by_name: dict[str, AnswerFormat] = {}
        self._by_media_type: dict[str, AnswerFormat] = {}
        for one in formats:
            self._by_name.setdefault(one.name, one)
            self._by_media_type.setdefault(one.media_type, one)

    def choose(self, name: str | None, headers: Headers) -> AnswerFormat:
        """Return the format of this name or, without one, that which Accept prefers; of equals the first.

        Raises:
            Problem: 422 for a name that is not offered, 406 when Accept allows none.
        """
        if name is None:
            return self._by_media_type[choose(headers, self._by_media_type)]
        if name in self._by_name:
            return self._by_name[name]
        names = ", ".join(f'"{one}"' for one in self._by_name)
        raise invalid(ProblemType.INVALID_FIELD, [FieldError(field="format", message=f"format must be one of {names}")])


def choose(headers: Headers, offers: Collection[str]) -> str:
    """Return the media type of ``offers`` that Accept prefers; of equals, and without Accept, the first.

    Parameters of a media range other than ``q`` are ignored, as no offer has any; a part of the header that is no media
    range is ignored, too.

    Raises:
        Problem: 406, with the list, when Accept allows none.
    """
    accept = ",".join(headers.getlist("accept"))
    if accept.strip() in ("", "*/*"):
        return next(iter(offers))
    if accept in offers:  # as most programs ask: there is nothing to weigh
        return accept
    ranges = [found for part in PARTS[","].findall(accept[:MAX_ACCEPT])[:MAX_RANGES] if (found := _parse(part))]
    best = max(offers, key=lambda offer: _quality(offer, ranges))  # max keeps the first of equals
    if _quality(best, ranges) == 0:
        raise Problem(ProblemType.NOT_ACCEPTABLE, f"Accept one of {', '.join(offers)}.")
    return best


def _parse(part: str) -> tuple[str, float] | None:
    """Return a media range and its quality, or None for what is neither."""
    media_range, *parameters = [piece.strip().lower() for piece in PARTS[";"].findall(part)] or [""]
    if media_range.count("/") != 1:
        return None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return (media_range, float(value)) if QUALITY.fullmatch(value) else None
    return media_range, 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality that the most specific matching range gives to ``offer``; 0 if none matches."""
    for pattern in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        if found := [quality for media_range, quality in ranges if media_range == pattern]:
            return max(found)
    return 0.0
