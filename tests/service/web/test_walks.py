"""``POST /interpolate`` through points, in a loop, for so many seconds, and through classes."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.engine import latents
from tests.service.web.conftest import Client
from tests.service.web.test_app import pixels, problem

BODY = {"model": "letters", "from": 3, "to": 9, "steps": 8, "format": "json"}
POINTS = {"model": "letters", "points": [3, 9, 4], "steps": 9, "format": "json"}


def data(client: Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/interpolate", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_a_walk_keeps_the_class_of_its_first_end(letters_client: Client) -> None:
    for first in (3, 4, 5, 6):
        own = letters_client.post("/generate", json={"model": "letters", "seed": first, "format": "json"}).json()
        answer = letters_client.post("/interpolate", json=BODY | {"from": first})
        assert {one["class"] for one in answer.json()["data"]} == {own["data"][0]["class"]}
        assert answer.json()["data"][0]["b64_json"] == own["data"][0]["b64_json"]
        assert "," not in answer.headers["x-class"]
    by_latent = data(letters_client, BODY | {"from": latents.from_seed(3, 8).tolist()})
    assert {one["class"] for one in by_latent} == {"A"}
    asked = data(letters_client, BODY | {"class": "Ça"})
    assert {one["class"] for one in asked} == {"Ça"}


def test_a_walk_goes_through_classes(letters_client: Client) -> None:
    through = data(letters_client, BODY | {"classes": ["A", "Ça", "B"]})
    assert [one["class"] for one in through] == ["A", "A", "A", "Ça", "Ça", "Ça", "B", "B"]


def test_points_are_passed_in_their_order(letters_client: Client) -> None:
    walked = data(letters_client, POINTS | {"class": "B"})
    assert [one["seed"] for one in walked] == [3, None, None, None, 9, None, None, None, 4]
    answer = letters_client.post("/interpolate", json=POINTS)
    assert answer.headers["x-seed"] == "3,9,4"
    assert 'filename="seed0003-to-seed0009-to-seed0004.json"' in answer.headers["content-disposition"]


def test_two_points_are_from_and_to(letters_client: Client) -> None:
    body = {name: value for name, value in BODY.items() if name not in ("from", "to")}
    assert data(letters_client, body | {"points": [3, 9]}) == data(letters_client, BODY)


def test_a_loop_leads_back_to_its_first_point(letters_client: Client) -> None:
    there_and_back = data(letters_client, BODY | {"loop": True})
    assert [one["seed"] for one in there_and_back] == [3, None, None, None, 9, None, None, None]
    drawn = [pixels_of(one) for one in there_and_back]
    for i in (1, 2, 3):
        assert np.abs(drawn[i] - drawn[8 - i]).max() <= 1


def pixels_of(one: dict[str, Any]) -> np.ndarray:
    import base64

    return pixels(base64.b64decode(one["b64_json"])).astype(int)


@pytest.mark.parametrize(("format_", "kind"), [("gif", "GIF"), ("webp", "WEBP"), ("apng", "PNG")])
def test_an_animation_takes_the_seconds_that_are_asked_for(letters_client: Client, format_: str, kind: str) -> None:
    answer = letters_client.post("/interpolate", json=BODY | {"format": format_, "seconds": 4, "scale": 2})
    assert answer.headers["content-type"] == f"image/{format_}"
    with Image.open(io.BytesIO(answer.content)) as movie:
        assert (movie.format, movie.size, movie.n_frames) == (kind, (32, 32), 8)
        durations = []
        for frame in ImageSequence.Iterator(movie):
            frame.load()
            durations.append(round(frame.info["duration"]))
    assert durations == [500] * 8
    assert b"trainedAlgorithmicMedia" in answer.content


def test_without_seconds_a_frame_takes_50_ms(letters_client: Client) -> None:
    answer = letters_client.post("/interpolate", json=BODY | {"format": "apng"})
    control = answer.content.index(b"fcTL") + 4
    assert struct.unpack(">HH", answer.content[control + 20 : control + 24]) == (50, 1000)


def test_accept_can_ask_for_a_gif(letters_client: Client) -> None:
    body = {name: value for name, value in BODY.items() if name != "format"}
    answer = letters_client.post("/interpolate", json=body, headers={"accept": "image/gif"})
    assert answer.content.startswith(b"GIF89a")
    refused = letters_client.post("/interpolate", json=body | {"form": "strip"}, headers={"accept": "image/gif"})
    problem(refused, "not-acceptable")


@pytest.mark.parametrize(
    ("body", "slug", "fields"),
    [
        ({"points": [1]}, "invalid-field", ["points"]),
        ({"points": list(range(9))}, "invalid-field", ["points"]),
        ({"points": [1, -1]}, "invalid-field", ["points.1"]),
        ({"points": [1, [0.0] * 7]}, "invalid-latent", ["points.1"]),
        ({"points": [1, 2], "from": 1}, "conflicting-fields", ["from"]),
        ({"points": [1, 2], "from": 1, "to": 2}, "conflicting-fields", ["from", "to"]),
        ({"from": 1}, "invalid-field", ["to"]),
        ({}, "invalid-field", ["from", "to"]),
        ({"points": [1, 2, 3, 4], "steps": 3}, "invalid-field", ["steps"]),
        ({"points": [1, 2], "steps": 2, "classes": ["A", "B", "A"]}, "invalid-field", ["steps"]),
        ({"points": [1, 2], "class": "A", "classes": ["A", "B"]}, "conflicting-fields", ["classes"]),
        ({"points": [1, 2], "class": "D"}, "unknown-class", ["class"]),
        ({"points": [1, 2], "seconds": 0}, "invalid-field", ["seconds"]),
        ({"points": [1, 2], "seconds": 0.2, "steps": 16}, "invalid-field", ["seconds"]),
        ({"points": [1, 2], "seconds": 61}, "invalid-field", ["seconds"]),
        ({"points": [1, 2], "loop": 1}, "invalid-field", ["loop"]),
    ],
)
def test_an_error_names_the_field(letters_client: Client, body: dict[str, Any], slug: str, fields: list[str]) -> None:
    document = problem(letters_client.post("/interpolate", json={"model": "letters"} | body), slug)
    assert [error["field"] for error in document["errors"]] == fields
