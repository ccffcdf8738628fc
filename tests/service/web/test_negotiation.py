import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.formats.registry import STILL, offered
from service.web.negotiation import Offer, choose
from service.web.problem_types import ProblemType
from service.web.problems import Problem

OFFERS = ("image/png", "application/json", "application/zip")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("application/zip;q=0.5, application/json;q=0.4", "application/zip"),
        ("application/json;q=0.4, application/zip;q=0.4", "application/json"),
        ("image/webp, */*;q=0.1", "image/png"),
        ("image/png;q=0, */*", "application/json"),
        ("image/png;q=0.2, image/*;q=0.9, application/zip;q=0.3", "application/zip"),
        ("text/html,application/xhtml+xml,image/avif,*/*;q=0.8", "image/png"),
        ("nonsense, ;;;, application/zip", "application/zip"),
        ('application/json;note="a, image/png;q=1";q=0.5, application/zip;q=0.6', "application/zip"),
        ("IMAGE/*;Q=0.1, application/json; q=0.101", "application/json"),
        ("application/json, application/json;q=0.1", "application/json"),
        (" , ,application/zip", "application/zip"),
    ],
)
def test_the_best_liked_form_is_chosen(accept: str, chosen: str) -> None:
    assert choose(Headers({"accept": accept}), OFFERS) == chosen


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/webp",
        "image/png;q=0",
        "*/*;q=0",
        "nonsense",
        "image/png;q=x",
        "image/png;q=1.5",
        "image/png;q=0.0001",
    ],
)
def test_what_cannot_be_pleased_gets_the_list(accept: str) -> None:
    with pytest.raises(Problem) as refused:
        choose(Headers({"accept": accept}), OFFERS)
    assert refused.value.kind is ProblemType.NOT_ACCEPTABLE
    assert all(offer in refused.value.detail for offer in OFFERS)


@given(st.text(alphabet="ap/*;q=0.1,nj png-image x", max_size=60))
def test_no_accept_header_breaks_it(accept: str) -> None:
    with suppress(Problem):
        assert choose(Headers({"accept": accept}), OFFERS) in OFFERS


JSON = b"application/json"


def test_negotiation_ignores_the_order_of_headers() -> None:
    pairs = [(b"user-agent", b"curl/8.5.0"), (b"content-type", JSON), (b"accept", JSON)]
    for order in itertools.permutations(pairs):
        assert choose(Headers(raw=list(order)), OFFERS) == "application/json"


def test_several_accept_headers_are_one_list() -> None:
    raw = [(b"accept", b"image/png;q=0.1"), (b"accept", JSON)]
    assert choose(Headers(raw=raw), OFFERS) == "application/json"


def test_a_name_decides_before_accept() -> None:
    formats, offer, headers = offered(STILL), Offer(offered(STILL)), Headers({"accept": "application/json"})
    assert {one.name: offer.choose(one.name, headers) for one in formats} == {one.name: one for one in formats}
    assert offer.choose(None, headers).name == "json"


@pytest.mark.parametrize("name", ["", "PNG", "image/png", "apng", "tiff"])
def test_a_name_that_is_not_offered_gets_those_that_are(name: str) -> None:
    with pytest.raises(Problem) as refused:
        Offer(offered(STILL)).choose(name, Headers({}))
    assert refused.value.kind is ProblemType.INVALID_FIELD
    assert [error["field"] for error in refused.value.errors] == ["format"]
    assert all(f'"{one.name}"' in refused.value.detail for one in offered(STILL))
