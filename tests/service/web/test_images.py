import io
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from urllib.parse import quote, urlencode

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.engine.library import Library
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.settings import read_settings
from service.web import images
from service.web.app import make_app
from tests.service.web.conftest import Client
from tests.service.web.test_app import pixels, problem

URL = "/images/rgb@1/42.png"


@pytest.fixture
def undrawn(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail whatever draws."""
    monkeypatch.setattr(renderer, "submit", lambda *_: pytest.fail("it was drawn"))


def test_an_image_has_the_bytes_of_generate_and_may_be_cached_forever(client: Client) -> None:
    answer = client.get(URL, params={"truncation": 0.7})
    drawn = client.post("/generate", json={"model": "rgb", "seed": 42, "truncation": 0.7})
    assert answer.content == drawn.content
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (answer.headers["x-seed"], answer.headers["x-model"]) == ("42", "rgb@1")
    assert answer.headers["content-disposition"] == 'inline; filename="seed0042.png"'
    assert "vary" not in answer.headers


@pytest.mark.parametrize(("extension", "name"), [("png", "PNG"), ("webp", "WEBP"), ("jpg", "JPEG")])
def test_the_name_ends_in_the_format(client: Client, extension: str, name: str) -> None:
    answer = client.get(f"/images/rgb@1/42.{extension}", headers={"accept": "application/zip"})
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == (name, (20, 24))
    assert answer.headers["content-type"] == Image.MIME[name]


@pytest.mark.parametrize("given", ["W/{}", "{}", '"other", W/{}', "*"])
def test_a_client_that_has_it_gets_304_and_nothing_is_drawn(
    client: Client, renderer: Renderer, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    etag = client.get(URL).headers["etag"]
    monkeypatch.setattr(renderer, "submit", lambda *_: pytest.fail("it was drawn"))
    answer = client.get(URL, headers={"if-none-match": given.format(etag.removeprefix("W/"))})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert "immutable" in answer.headers["cache-control"]


def test_a_client_that_has_another_gets_it(client: Client) -> None:
    assert client.get(URL, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.usefixtures("undrawn")
def test_head_draws_nothing(client: Client) -> None:
    answer = client.request("HEAD", URL)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "image/png"
    assert "content-length" not in answer.headers
    assert answer.headers["etag"]


def test_head_has_the_etag_of_get(client: Client) -> None:
    assert client.request("HEAD", URL).headers["etag"] == client.get(URL).headers["etag"]


def test_the_etag_is_weak_as_another_processor_may_give_other_bytes(client: Client) -> None:
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', client.get(URL).headers["etag"])


def test_whatever_decides_the_image_decides_the_etag(library: Library) -> None:
    grey, old = library.find("grey@2"), library.find("grey@1")
    asked = [
        (RenderRequest(grey, seeds=(1,)), "png", ""),
        (RenderRequest(grey, seeds=(1,)), "png", "signed by somebody"),
        (RenderRequest(grey, seeds=(1,)), "webp", ""),
        (RenderRequest(grey, seeds=(2,)), "png", ""),
        (RenderRequest(grey, seeds=(1,), scale=2), "png", ""),
        (RenderRequest(grey, seeds=(1,), scale=2, resample="lanczos"), "png", ""),
        (RenderRequest(old, seeds=(1,)), "png", ""),
        (RenderRequest(replace(grey, provider="cuda"), seeds=(1,)), "png", ""),
    ]
    assert len({images._etag(*one) for one in asked}) == len(asked)


@pytest.fixture
def unknown_software() -> Iterator[None]:
    """Have the versions looked up anew, and again afterwards."""
    images._software.cache_clear()
    yield
    images._software.cache_clear()


@pytest.mark.usefixtures("unknown_software")
def test_another_version_of_what_draws_or_encodes_is_another_etag(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (RenderRequest(library.find("grey"), seeds=(1,)), "png", "")
    found, version = {images._etag(*asked)}, metadata.version
    for package in ("numpy", "isal", "pillow"):
        images._software.cache_clear()
        with monkeypatch.context() as patched:
            patched.setattr(metadata, "version", lambda name, it=package: "0" if name == it else version(name))
            found.add(images._etag(*asked))
    assert len(found) == 4


@pytest.mark.usefixtures("unknown_software")
def test_a_package_that_is_not_there_has_no_version(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert images._etag(RenderRequest(library.find("grey"), seeds=(1,)), "png", "").startswith("W/")


@pytest.mark.usefixtures("unknown_software")
def test_the_versions_are_looked_up_before_the_first_request_and_not_in_every_package(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "distributions", lambda **_: pytest.fail("every package was looked at"))
    make_app(renderer, read_settings())
    monkeypatch.setattr(metadata, "version", lambda _: pytest.fail("a request waits for it"))
    assert Client(make_app(renderer, read_settings())).request("HEAD", URL).status_code == 200


@pytest.mark.usefixtures("undrawn")
def test_a_name_without_a_version_leads_to_the_newest_and_is_not_kept(client: Client) -> None:
    answer = client.get("/images/grey/7.png?scale=2")
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-cache")
    there = httpx.URL("http://test/images/grey/7.png").join(answer.headers["location"])
    assert str(there) == "http://test/images/grey@2/7.png?scale=2"


@pytest.mark.parametrize(
    ("url", "slug", "said"),
    [
        ("/images/rgb@1/-1.png", "invalid-field", "seed must be an integer from 0 to 4294967295"),
        ("/images/rgb@1/4294967296.png", "invalid-field", "seed must be"),
        ("/images/rgb@1/x.png", "invalid-field", "seed must be"),
        ("/images/rgb@1/.png", "invalid-field", "seed must be"),
        ("/images/rgb@1/%D9%A1.png", "invalid-field", "seed must be"),  # a digit, but not an ASCII one
        ("/images/rgb/x.png", "invalid-field", "seed must be"),
        ("/images/rgb@1/1.png?truncation=3", "invalid-field", "truncation must be a number from 0 to 2"),
        ("/images/rgb@1/1.png?truncation=nan", "invalid-field", "truncation must be"),
        ("/images/rgb@1/1.png?truncation=", "invalid-field", "truncation must be"),
        ("/images/rgb@1/1.png?truncation=1&truncation=0", "invalid-field", "once"),
        ("/images/rgb@1/1.png?psi=1", "invalid-field", "psi is not a field; the fields are class, truncation"),
        ("/images/rgb@1/1.gif", "not-found", "42.png, 42.webp, 42.jpg"),
        ("/images/rgb@1/1", "not-found", "42.png"),
        ("/images/rgb@9/1.png", "unknown-model", "grey@2, grey@1, rgb@1"),
        ("/images/cats/1.png", "unknown-model", "grey@2, grey@1, rgb@1"),
    ],
)
def test_a_wrong_seed_or_query_is_an_error_that_names_it(client: Client, url: str, slug: str, said: str) -> None:
    assert said in problem(client.get(url), slug)["detail"]


def test_a_thumbnail_is_the_sheet_of_the_first_seeds(client: Client) -> None:
    answer = client.get("/models/rgb@1/thumbnail.png")
    sheet = client.post("/generate", json={"model": "rgb", "seed": 0, "n": 16})
    np.testing.assert_array_equal(pixels(answer.content), pixels(sheet.content))
    assert "immutable" in answer.headers["cache-control"]
    again = client.get("/models/rgb@1/thumbnail.png", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_thumbnail_of_a_name_leads_to_the_newest_version(client: Client) -> None:
    answer = client.get("/models/grey/thumbnail.png")
    assert (answer.status_code, answer.headers["location"]) == (307, "../grey@2/thumbnail.png")
    problem(client.get("/models/cats/thumbnail.png"), "unknown-model")


models = st.sampled_from(["rgb@1", "rgb", "grey@2"]) | st.text(max_size=8)
seeds = st.integers(-2, 2**33).map(str) | st.text(max_size=12)
extensions = st.sampled_from(["png", "webp", "jpg"]) | st.text(max_size=4)
values = st.floats().map(str) | st.text(max_size=6)


@settings(max_examples=100, deadline=None)
@given(
    model=models,
    seed=seeds,
    extension=extensions,
    query=st.dictionaries(st.sampled_from(["truncation", "n", ""]), values, max_size=2),
)
def test_no_url_is_a_fault_of_ours(
    client: Client, model: str, seed: str, extension: str, query: dict[str, str]
) -> None:
    path = f"/images/{quote(model, safe='@')}/{quote(f'{seed}.{extension}', safe='')}?{urlencode(query)}"
    assert client.get(path).status_code in (200, 307, 404, 422)
