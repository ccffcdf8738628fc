"""Classes, truncation, directions and scale over HTTP, with letters@1, which has them, and plain@1, which does not."""

import base64
import io
import json
import zipfile
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.engine import latents
from service.web import responder
from tests.service.web.conftest import Client
from tests.service.web.test_app import pixels, problem

LETTERS = {"model": "letters"}


def ask(client: Client, **body: Any) -> httpx.Response:
    answer = client.post("/generate", json=LETTERS | body)
    assert answer.status_code == 200, answer.text
    return answer


def classes(answer: httpx.Response) -> list[str]:
    return [unquote(name) for name in answer.headers["x-class"].split(",")]


def test_a_seed_is_drawn_in_the_class_that_is_asked_for(letters_client: Client) -> None:
    one, other = (ask(letters_client, seed=5, **{"class": name}) for name in ("A", "Ça"))
    assert (classes(one), classes(other)) == (["A"], ["Ça"])
    assert one.content != other.content
    assert Image.open(io.BytesIO(other.content)).info["class"] == "Ça"
    assert other.headers["content-disposition"] == 'inline; filename="seed0005-class2.png"'


def test_a_seed_without_a_class_draws_its_own_and_says_which(letters_client: Client) -> None:
    for seed in (1, 2, 3, 42):
        answer = ask(letters_client, seed=seed)
        state = np.random.RandomState(seed)
        state.randn(8)
        (name,) = classes(answer)
        assert name == ["A", "B", "Ça"][state.randint(3)]
        asked = ask(letters_client, seed=seed, **{"class": name})
        np.testing.assert_array_equal(pixels(answer.content), pixels(asked.content))


def test_one_latent_is_drawn_in_several_classes(letters_client: Client) -> None:
    names = ["B", "A", "B", "Ça"]
    for source in ({"seed": 7}, {"latent": latents.from_seed(7, 8).tolist()}):
        answer = ask(letters_client, classes=names, format="json", **source)
        assert classes(answer) == names
        drawn = answer.json()["data"]
        assert [one["class"] for one in drawn] == names
        assert drawn[0]["b64_json"] == drawn[2]["b64_json"]
        alone = [ask(letters_client, **source, **{"class": name}).content for name in names]
        for one, content in zip(drawn, alone, strict=True):
            np.testing.assert_array_equal(pixels(base64.b64decode(one["b64_json"])), pixels(content))


def test_a_random_seed_is_one_for_all_classes(letters_client: Client) -> None:
    answer = ask(letters_client, classes=["A", "B"])
    first, second = answer.headers["x-seed"].split(",")
    assert first == second


def test_a_zip_names_the_classes(letters_client: Client) -> None:
    answer = ask(letters_client, seed=7, classes=["A", "B", "A"], format="zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["seed0007-A.png", "seed0007-B.png", "seed0007-A-1.png"]


@pytest.mark.parametrize(
    "source", [{"seed": 1, "n": 3}, {"seeds": [1, 2, 3]}, {"latent": [0.5] * 8}, {"latents": [[0.5] * 8, [1] * 8]}]
)
def test_a_class_goes_with_every_source(letters_client: Client, source: dict[str, Any]) -> None:
    answer = ask(letters_client, format="json", **source, **{"class": "B"})
    assert classes(answer) == ["B"]
    assert {one["class"] for one in answer.json()["data"]} == {"B"}


def test_each_of_several_seeds_draws_its_class(letters_client: Client) -> None:
    answer = ask(letters_client, seed=0, n=12, format="json")
    assert classes(answer) == [one["class"] for one in answer.json()["data"]]
    assert len(set(classes(answer))) == 3


def test_a_plain_model_has_no_class_in_its_answers(letters_client: Client) -> None:
    answer = letters_client.post("/generate", json={"model": "plain", "seed": 1, "format": "json"})
    assert "x-class" not in answer.headers
    assert answer.json()["data"][0]["class"] is None


@pytest.mark.parametrize(
    ("body", "slug", "field"),
    [
        ({"class": "D"}, "unknown-class", "class"),
        ({"class": "a"}, "unknown-class", "class"),
        ({"classes": ["A", "Z"]}, "unknown-class", "classes"),
        ({"model": "plain", "class": "A"}, "unsupported-by-model", "class"),
        ({"model": "plain", "classes": ["A", "B"]}, "unsupported-by-model", "classes"),
        ({"model": "plain", "truncation": 0.7}, "unsupported-by-model", "truncation"),
        ({"model": "plain", "directions": {"0": 1}}, "unsupported-by-model", "directions"),
        ({"directions": {"slant": 1}}, "unknown-direction", "directions"),
        ({"directions": {"2": 1}}, "unknown-direction", "directions"),
        ({"class": 7}, "invalid-field", "class"),
        ({"class": ""}, "invalid-field", "class"),
        ({"class_": "A"}, "invalid-field", "class_"),
        ({"classes": []}, "invalid-field", "classes"),
        ({"classes": "AB"}, "invalid-field", "classes"),
        ({"classes": ["A"] * 65}, "too-many-images", "classes"),
        ({"truncation": 2.1}, "invalid-field", "truncation"),
        ({"directions": [1]}, "invalid-field", "directions"),
        ({"directions": {"weight": 1e9}}, "invalid-field", "directions"),
        ({"directions": {"weight": "1"}}, "invalid-field", "directions"),
        ({"directions": {f"{i}": 1 for i in range(17)}}, "invalid-field", "directions"),
        ({"scale": 0}, "invalid-field", "scale"),
        ({"scale": 9}, "invalid-field", "scale"),
        ({"scale": 1.5}, "invalid-field", "scale"),
        ({"resample": "cubic"}, "invalid-field", "resample"),
        ({"class": "A", "classes": ["A"]}, "conflicting-fields", "classes"),
        ({"seeds": [1, 2], "classes": ["A"]}, "conflicting-fields", "classes"),
        ({"latents": [[0] * 8], "classes": ["A"]}, "conflicting-fields", "classes"),
        ({"n": 2, "classes": ["A", "B"]}, "conflicting-fields", "classes"),
    ],
)
def test_an_error_names_the_field(letters_client: Client, body: dict[str, Any], slug: str, field: str) -> None:
    document = problem(letters_client.post("/generate", json=LETTERS | body), slug)
    assert [error["field"] for error in document["errors"]] == [field]


def test_an_unknown_class_is_answered_with_the_nearest(letters_client: Client) -> None:
    detail = problem(letters_client.post("/generate", json=LETTERS | {"class": "ça"}), "unknown-class")["detail"]
    assert "nearest are Ça" in detail


def test_neutral_values_are_taken_by_every_model(letters_client: Client) -> None:
    neutral = {"truncation": 1, "directions": {}, "scale": 1, "resample": None, "class": None, "classes": None}
    for model in ("plain", "letters"):
        bodies = ({"model": model, "seed": 3} | more for more in ({}, neutral))
        assert len({letters_client.post("/generate", json=body).content for body in bodies}) == 1


def test_truncation_and_directions_are_in_the_answer(letters_client: Client) -> None:
    body = {"seed": 3, "truncation": 0.5, "directions": {"weight": 1.5, "1": -1}}
    answer = ask(letters_client, format="json", **body).json()
    assert (answer["truncation"], answer["directions"]) == (0.5, {"weight": 1.5, "1": -1.0})
    text = Image.open(io.BytesIO(ask(letters_client, **body).content)).info
    assert (text["truncation"], json.loads(text["directions"])) == ("0.5", {"weight": 1.5, "1": -1.0})
    by_number = ask(letters_client, **body | {"directions": {"0": 1.5, "1": -1}})
    assert by_number.content == ask(letters_client, **body).content != ask(letters_client, seed=3).content


@pytest.mark.parametrize("format_", ["png", "webp", "jpeg"])
def test_images_are_enlarged(letters_client: Client, format_: str) -> None:
    answer = ask(letters_client, seed=3, scale=4, format=format_)
    assert pixels(answer.content).shape[:2] == (64, 64)


def test_pixels_are_repeated_unless_they_are_to_be_blended(letters_client: Client) -> None:
    small, large, blended = (
        pixels(ask(letters_client, seed=3, **more).content)
        for more in ({}, {"scale": 3}, {"scale": 3, "resample": "lanczos"})
    )
    np.testing.assert_array_equal(large, small.repeat(3, 0).repeat(3, 1))
    assert (blended != large).any()


# GET /images


def test_an_image_has_class_truncation_directions_and_scale_in_its_url(letters_client: Client) -> None:
    query = {"class": "Ça", "truncation": 0.5, "d0": 1.5, "d1": -1, "scale": 2, "resample": "lanczos"}
    answer = letters_client.get("/images/letters@1/42.png", params=query)
    body = {"class": "Ça", "truncation": 0.5, "directions": {"0": 1.5, "1": -1}, "scale": 2, "resample": "lanczos"}
    assert answer.content == ask(letters_client, seed=42, **body).content
    assert classes(answer) == ["Ça"]
    assert "immutable" in answer.headers["cache-control"]


def test_every_parameter_decides_the_etag(letters_client: Client) -> None:
    queries = [
        "",
        "class=A",
        "class=B",
        "truncation=0.5",
        "d0=1",
        "d1=1",
        "d0=1&d1=1",
        "scale=2",
        "scale=2&resample=lanczos",
    ]
    tags = [letters_client.get(f"/images/letters@1/42.png?{query}").headers["etag"] for query in queries]
    assert len(set(tags)) == len(queries)
    assert letters_client.get("/images/letters@1/42.png?d0=0").headers["etag"] == tags[0]


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("letters@1/1.png?class=D", "unknown-class"),
        ("letters/1.png?class=D", "unknown-class"),
        ("letters@1/1.png?d2=1", "unknown-direction"),
        ("letters@1/1.png?d16=1", "invalid-field"),
        ("letters@1/1.png?d0=nan", "invalid-field"),
        ("letters@1/1.png?scale=9", "invalid-field"),
        ("letters@1/1.png?classes=A", "invalid-field"),
        ("plain@1/1.png?class=A", "unsupported-by-model"),
        ("plain@1/1.png?truncation=0.5", "unsupported-by-model"),
        ("plain@1/1.png?d0=1", "unsupported-by-model"),
    ],
)
def test_a_wrong_query_is_a_problem(letters_client: Client, path: str, slug: str) -> None:
    problem(letters_client.get(f"/images/{path}"), slug)


def test_models_say_what_they_have(letters_client: Client) -> None:
    listed = {one["name"]: one for one in letters_client.get("/models").json()["models"]}
    assert listed["letters"]["classes"] == ["A", "B", "Ça"]
    assert listed["letters"]["directions"] == [{"name": "weight", "range": 3.0}, {"name": "1", "range": 2.5}]
    assert (listed["letters"]["truncation"], listed["letters"]["schema"]) == (True, 2)
    assert [listed["plain"][name] for name in ("classes", "truncation", "directions", "schema")] == [[], False, [], 1]


# POST /render


def test_arrays_are_drawn_with_labels_truncation_and_directions(letters_client: Client) -> None:
    given = [[0.5] * 8, [-1.0] * 8]
    body = {"latents": given, "labels": [2, 1], "truncation": 0.5, "directions": [1.5, 0]}
    drawn = np.array(letters_client.post("/render", json=body).json(), np.uint8)
    for latent, name, image in zip(given, ("Ça", "B"), drawn, strict=True):
        one = {"latent": latent, "class": name, "truncation": 0.5, "directions": {"weight": 1.5}}
        np.testing.assert_array_equal(pixels(ask(letters_client, **one).content), image[..., 0])


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({"labels": [0, 0]}, "invalid-field"),
        ({"labels": [3]}, "unknown-class"),
        ({"labels": [-1]}, "invalid-field"),
        ({"labels": ["A"]}, "invalid-field"),
        ({"directions": [0, 0, 1]}, "unknown-direction"),
        ({"directions": [1e9]}, "invalid-field"),
        ({"truncation": 3}, "invalid-field"),
    ],
)
def test_wrong_arrays_are_problems(letters_client: Client, body: dict[str, Any], slug: str) -> None:
    problem(letters_client.post("/render", json={"latents": [[0.5] * 8]} | body), slug)


names = st.sampled_from(["A", "Ça", "weight", "0", "1", "2"]) | st.text(max_size=4)
numbers = st.sampled_from([0, 1, 2, 0.5, -1, 1e9, True, None]) | st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(
    names,
    numbers,
    st.lists(names | numbers, max_size=4),
    st.dictionaries(names, numbers, max_size=3),
    st.lists(st.lists(numbers, min_size=8, max_size=8), max_size=3),
)
FIELDS = ("class", "classes", "truncation", "directions", "scale", "resample", "seed", "latent", "n")
WALK = ("from", "to", "points", "loop", "steps", "seconds", "class", "classes", "directions", "form")


@settings(max_examples=75, deadline=None, derandomize=True)
@given(body=st.dictionaries(st.sampled_from(FIELDS), values, max_size=3))
def test_no_conditions_are_a_fault_of_ours(letters_client: Client, body: dict[str, Any]) -> None:
    assert letters_client.post("/generate", json=LETTERS | body).status_code in (200, 422)


@settings(max_examples=75, deadline=None, derandomize=True)
@given(body=st.dictionaries(st.sampled_from(WALK), values, max_size=4))
def test_no_walk_is_a_fault_of_ours(letters_client: Client, body: dict[str, Any]) -> None:
    asked = {"model": "letters", "points": [1, 2], "steps": 4} | body
    assert letters_client.post("/interpolate", json=asked).status_code in (200, 422)


def test_x_class_is_bounded_and_can_be_decoded() -> None:
    names = ["a,b", "50%", "猫" * 64] * 20
    header = responder._class_header(names, complete=True)
    assert header.isascii()
    assert len(header) <= responder.MAX_CLASSES + 4
    *given, last = header.split(",")
    assert [unquote(name) for name in given] == names[: len(given)]
    assert last == "..."
    assert responder._class_header(["a,b"], complete=True) == "a%2Cb"
    assert responder._class_header(["A", "B"], complete=False) == "A,B,..."
