import base64
import io
import zipfile
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.engine import latents
from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from tests.service.web.conftest import Client
from tests.service.web.test_app import pixels, problem

BODY = {"model": "rgb", "from": 3, "to": 9, "steps": 5, "truncation": 0.8}


def frames(data: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(data)) as movie:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(movie)]


def of_seed(client: Client, seed: int) -> bytes:
    return client.post("/generate", json={"model": "rgb", "seed": seed, "truncation": 0.8}).content


@pytest.mark.parametrize(
    ("accept", "media_type", "extension"),
    [("*/*", "image/apng", "apng"), ("image/apng", "image/apng", "apng"), ("image/png", "image/png", "png")],
)
def test_an_animation_goes_from_the_one_picture_to_the_other(
    client: Client, accept: str, media_type: str, extension: str
) -> None:
    answer = client.post("/interpolate", json=BODY, headers={"accept": accept})
    assert (answer.headers["content-type"], answer.headers["x-model"]) == (media_type, "rgb@1")
    assert (answer.headers["x-seed"], answer.headers["vary"]) == ("3,9", "Accept")
    assert answer.headers["content-disposition"] == f'inline; filename="seed0003-to-seed0009.{extension}"'
    drawn = frames(answer.content)
    assert len(drawn) == 5
    np.testing.assert_array_equal(drawn[0], pixels(of_seed(client, 3)))
    np.testing.assert_array_equal(drawn[-1], pixels(of_seed(client, 9)))
    assert len({image.tobytes() for image in drawn}) == 5


def test_every_format_has_the_same_frames(client: Client) -> None:
    drawn = frames(client.post("/interpolate", json=BODY).content)
    strip = client.post("/interpolate", json=BODY | {"form": "strip"})
    assert strip.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(pixels(strip.content), np.concatenate(drawn, axis=1))
    webp = client.post("/interpolate", json=BODY | {"form": "strip"}, headers={"accept": "image/webp"})
    np.testing.assert_array_equal(pixels(webp.content), np.concatenate(drawn, axis=1))
    zipped = client.post("/interpolate", json=BODY, headers={"accept": "application/zip"})
    in_json = client.post("/interpolate", json=BODY, headers={"accept": "application/json"}).json()["data"]
    assert [one["seed"] for one in in_json] == [3, None, None, None, 9]
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert archive.namelist() == [f"frame{i:04d}.png" for i in range(5)]
        for name, one, image in zip(archive.namelist(), in_json, drawn, strict=True):
            np.testing.assert_array_equal(pixels(archive.read(name)), image)
            assert archive.read(name) == base64.b64decode(one["b64_json"])


def test_the_ends_in_a_zip_are_the_bytes_of_generate(client: Client) -> None:
    zipped = client.post("/interpolate", json=BODY, headers={"accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert archive.read("frame0000.png") == of_seed(client, 3)
        assert archive.read("frame0004.png") == of_seed(client, 9)


def test_an_animated_webp_looks_like_the_frames(client: Client) -> None:
    exact = frames(client.post("/interpolate", json=BODY).content)
    answer = client.post("/interpolate", json=BODY, headers={"accept": "image/webp"})
    drawn = frames(answer.content)
    assert answer.headers["content-type"] == "image/webp"
    assert len(drawn) == 5
    for one, other in zip(drawn, exact, strict=True):  # in brightness: WebP halves the colours of noise
        assert np.corrcoef(one.mean(axis=2).ravel(), other.mean(axis=2).ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    ("form", "name", "media_type"),
    [
        ("animation", "apng", "image/apng"),
        ("animation", "png", "image/png"),
        ("animation", "webp", "image/webp"),
        ("animation", "json", "application/json"),
        ("strip", "png", "image/png"),
        ("strip", "jpeg", "image/jpeg"),
        ("strip", "zip", "application/zip"),
    ],
)
def test_the_format_in_the_body_decides_before_accept(client: Client, form: str, name: str, media_type: str) -> None:
    body = BODY | {"form": form, "format": name}
    answer = client.post("/interpolate", json=body, headers={"accept": "application/json, image/jpeg"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("form", ["animation", "strip"])
@pytest.mark.parametrize("accept", ["image/png", "image/webp"])
def test_a_walk_says_that_a_machine_made_it_and_how(client: Client, form: str, accept: str) -> None:
    answer = client.post("/interpolate", json=BODY | {"form": form}, headers={"accept": accept})
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    assert b"trainedAlgorithmicMedia" in bytes(image.info["xmp"])
    assert b"seed0003-to-seed0009, slerp, 5 steps" in answer.content


def test_a_latent_walks_as_its_seed_does(client: Client) -> None:
    by_latent = BODY | {"from": latents.from_seed(3, 16).tolist()}
    answer = client.post("/interpolate", json=by_latent)
    assert "x-seed" not in answer.headers
    assert 'filename="latent-to-seed0009' in answer.headers["content-disposition"]
    by_seed = client.post("/interpolate", json=BODY)
    for one, other in zip(frames(answer.content), frames(by_seed.content), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_paths_differ_and_the_great_circle_is_the_default(client: Client) -> None:
    default, slerp, linear = (
        client.post("/interpolate", json=BODY | path).content for path in ({}, {"path": "slerp"}, {"path": "linear"})
    )
    assert default == slerp != linear


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"from": True}, "from", "from must be a seed (an integer from 0 to 4294967295) or a latent"),
        ({"from": None}, "from", "a seed"),
        ({"to": -1}, "to", "a seed"),
        ({"to": "1"}, "to", "a seed"),
        ({"to": []}, "to", "a latent"),
        ({"to": [0.0] * 9}, "to", "16 numbers that rgb@1 takes, not 9"),
        ({"from": [0.0, "x"]}, "from.1", "a latent"),
        ({"steps": 1}, "steps", "from 2 to 64"),
        ({"steps": 65}, "steps", "from 2 to 64"),
        ({"path": "cubic"}, "path", '"slerp" (the great circle) or "linear"'),
        ({"form": "gif"}, "form", '"animation" or "strip"'),
        ({"seed": 1}, "seed", "the fields are model, from, to, points"),
        ({"start": 1}, "start", "is not a field"),
    ],
)
def test_an_error_names_the_field_with_a_wrong_value(
    client: Client, body: dict[str, Any], field: str, said: str
) -> None:
    slug = "invalid-latent" if "takes, not" in said else "invalid-field"
    document = problem(client.post("/interpolate", json=BODY | body), slug)
    assert [error["field"] for error in document["errors"]] == [field]
    assert said in document["detail"]


def test_a_missing_field_is_named(client: Client) -> None:
    document = problem(client.post("/interpolate"), "invalid-field")
    assert [error["field"] for error in document["errors"]] == ["from", "to"]
    assert '{"from": 1, "to": 2' in problem(client.post("/interpolate", json=[1]), "invalid-field")["detail"]


def test_a_server_that_draws_few_at_once_walks_in_as_few_steps(renderer: Renderer) -> None:
    client = Client(make_app(renderer, read_settings(max_images=4)))
    refused = problem(client.post("/interpolate", json=BODY), "too-many-images")
    assert [error["field"] for error in refused["errors"]] == ["steps"]


def test_jpeg_is_no_animation(client: Client) -> None:
    refused = client.post("/interpolate", json=BODY, headers={"accept": "image/jpeg"})
    assert "image/apng" in problem(refused, "not-acceptable")["detail"]
    refused = problem(client.post("/interpolate", json=BODY | {"format": "jpeg"}), "invalid-field")
    assert [error["field"] for error in refused["errors"]] == ["format"]
    answer = client.post("/interpolate", json=BODY | {"form": "strip"}, headers={"accept": "image/jpeg"})
    assert answer.headers["content-type"] == "image/jpeg"
