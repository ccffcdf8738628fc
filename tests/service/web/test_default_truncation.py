"""A model with a default truncation draws with it, by every route, where a client names none."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from tests import tiny
from tests.service.web.conftest import Client
from tests.service.web.test_invert import write_encoder

DEFAULT = 0.25
LATENT = np.linspace(-1, 1, 8).tolist()


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of safe@1, the default model, and wild@1: the same weights, and no default truncation."""
    folder = tmp_path_factory.mktemp("models")
    write_encoder(tiny.write(folder, tiny.card("safe", truncation=True, default_truncation=DEFAULT)))
    tiny.write(folder, tiny.card("wild", truncation=True))
    renderer = Renderer(folder)
    renderer.load()
    yield Client(make_app(renderer, read_settings()))
    renderer.close()


def pixels(client: Client, path: str = "/generate", **body: Any) -> np.ndarray:
    answer = client.post(path, json=body | {"format": "png"})
    assert answer.status_code == 200, answer.text
    return np.array(Image.open(io.BytesIO(answer.content)))


@pytest.mark.parametrize("source", [{"seed": 3}, {"latent": LATENT}])
def test_a_request_that_names_none_gets_the_default(safe: Client, source: dict[str, Any]) -> None:
    found = pixels(safe, **source)
    np.testing.assert_array_equal(found, pixels(safe, model="wild", **source, truncation=DEFAULT))
    np.testing.assert_array_equal(found, pixels(safe, **source, truncation=None))
    off = pixels(safe, **source, truncation=1)
    np.testing.assert_array_equal(off, pixels(safe, model="wild", **source))
    assert not np.array_equal(found, off)


def test_a_walk_gets_the_default(safe: Client) -> None:
    walk = {"from": 1, "to": 2, "steps": 4, "form": "strip"}
    wanted = pixels(safe, "/interpolate", model="wild", **walk, truncation=DEFAULT)
    np.testing.assert_array_equal(pixels(safe, "/interpolate", **walk), wanted)


def test_an_image_of_a_url_a_thumbnail_a_prompt_and_an_array_get_the_default(safe: Client) -> None:
    wanted = pixels(safe, model="wild", seed=42, truncation=DEFAULT)
    image = safe.get("/images/safe@1/42.png")
    same = safe.get(f"/images/safe@1/42.png?truncation={DEFAULT}")
    assert (image.content, image.headers["etag"]) == (same.content, same.headers["etag"])
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(image.content))), wanted)

    prompted = safe.post("/v1/images/generations", json={"prompt": "42", "response_format": "b64_json"}).json()
    png = base64.b64decode(prompted["data"][0]["b64_json"])
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png))), wanted)

    sheet = np.array(Image.open(io.BytesIO(safe.get("/models/safe@1/thumbnail.png").content)))
    np.testing.assert_array_equal(sheet[:16, :16], pixels(safe, seed=0))

    arrays = np.array(safe.post("/render", json={"latents": [LATENT]}).json(), np.uint8)
    np.testing.assert_array_equal(arrays[0, ..., 0], pixels(safe, latent=LATENT))


def test_answers_say_what_was_drawn_with(safe: Client) -> None:
    assert safe.post("/generate", json={"seed": 3, "format": "json"}).json()["truncation"] == DEFAULT
    listed = {one["name"]: one["default_truncation"] for one in safe.get("/models").json()["models"]}
    assert listed == {"safe": DEFAULT, "wild": 1.0}


def test_a_latent_that_was_found_is_drawn_as_the_encoder_learned_it(safe: Client) -> None:
    picture = io.BytesIO()
    Image.new("L", (16, 16), 200).save(picture, "PNG")
    found = safe.post("/invert", content=picture.getvalue(), headers={"content-type": "image/png"}).json()
    again = pixels(safe, latent=found["latent"], truncation=found["truncation"])
    assert found["truncation"] == 1
    np.testing.assert_array_equal(again, np.array(Image.open(io.BytesIO(base64.b64decode(found["b64_json"])))))
