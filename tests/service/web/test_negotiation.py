from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.web.negotiation import choose
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
    ],
)
def test_the_best_liked_form_is_chosen(accept: str, chosen: str) -> None:
    assert choose(Headers({"accept": accept}), OFFERS) == chosen


@pytest.mark.parametrize("accept", ["text/html", "image/webp", "image/png;q=0", "*/*;q=0", "nonsense", "image/png;q=x"])
def test_what_cannot_be_pleased_gets_the_list(accept: str) -> None:
    with pytest.raises(Problem) as refused:
        choose(Headers({"accept": accept}), OFFERS)
    assert refused.value.status == 406
    assert all(offer in refused.value.detail for offer in OFFERS)


@given(st.text(alphabet="ap/*;q=0.1,nj png-image x", max_size=60))
def test_no_accept_header_breaks_it(accept: str) -> None:
    with suppress(Problem):
        assert choose(Headers({"accept": accept}), OFFERS) in OFFERS


def from_curl(*pairs: tuple[bytes, bytes]) -> Headers:
    return Headers(raw=[(b"host", b"x"), (b"user-agent", b"curl/8.5.0"), *pairs, (b"content-length", b"2")])


JSON = b"application/json"


def test_the_accept_header_that_curl_adds_to_json_is_not_a_wish() -> None:
    assert choose(from_curl((b"content-type", JSON), (b"accept", JSON)), OFFERS) == "image/png"


def test_the_accept_header_that_a_curl_user_gives_is() -> None:
    assert choose(from_curl((b"accept", JSON), (b"content-type", JSON)), OFFERS) == "application/json"
    assert choose(from_curl((b"content-type", JSON), (b"accept", b"application/zip")), OFFERS) == "application/zip"


def test_only_curl_is_known_to_add_it() -> None:
    assert choose(Headers(raw=[(b"content-type", JSON), (b"accept", JSON)]), OFFERS) == "application/json"
