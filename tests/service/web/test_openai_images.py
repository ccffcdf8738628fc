import base64
from pathlib import Path
from typing import Any

import pytest

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.openai_images import Meaning, read_prompt
from tests import tiny
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

PATH = "/v1/images/generations"


def ask(client: Client, **body: Any) -> Any:
    answer = client.post(PATH, json={"model": "rgb", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_prompt_in_digits_is_a_seed(client: Client) -> None:
    answer = client.post(PATH, json={"model": "rgb", "prompt": " 42 "})
    (image,) = answer.json()["data"]
    drawn = client.get("/images/rgb@1/42.png")
    assert base64.b64decode(image["b64_json"]) == drawn.content == client.get(image["url"]).content
    assert image["revised_prompt"] == "seed 42 of rgb@1"
    assert (answer.headers["x-seed"], answer.headers["x-model"]) == ("42", "rgb@1")


def test_words_are_hashed_to_a_seed_and_the_answer_says_so(client: Client) -> None:
    (one,) = ask(client, prompt="a cat on a mat")["data"]
    (same,) = ask(client, prompt="a cat on a mat ")["data"]
    (other,) = ask(client, prompt="a cat on a hat")["data"]
    assert one == same != other
    assert "hash of the prompt" in one["revised_prompt"]
    assert f"seed {read_prompt('a cat on a mat').seed} of rgb@1" in one["revised_prompt"]


def test_a_prompt_may_name_a_class(tmp_path: Path) -> None:
    tiny.write(tmp_path, tiny.conditional("letters"), tiny.model(tiny.conditional("letters")))
    renderer = Renderer(tmp_path)
    renderer.load()
    try:
        client = Client(make_app(renderer, read_settings()))
        (image,) = ask(client, model="letters", prompt="ça", size="32x32")["data"]
        assert image["revised_prompt"].endswith("of letters@1, class Ça")
        assert base64.b64decode(image["b64_json"]) == client.get(image["url"]).content
        assert image["url"].endswith("?class=%C3%87a&scale=2")
        (other,) = ask(client, model="letters", prompt="7")["data"]
        assert base64.b64decode(other["b64_json"]) == client.get(other["url"]).content
        assert ", class " in other["revised_prompt"]  # the seed draws one
    finally:
        renderer.close()


def test_a_class_comes_before_a_seed() -> None:
    assert read_prompt("7", ["6", "7"]).label == 1
    assert read_prompt("b", ["B", "b"]).label == 1
    assert read_prompt("8", ["6", "7"]) == Meaning(8)


def test_larger_images_have_their_pixels_repeated(client: Client) -> None:
    answer = ask(client, prompt="7", size="40x48")
    assert answer["size"] == "40x48"
    assert base64.b64decode(answer["data"][0]["b64_json"]) == client.get("/images/rgb@1/7.png?scale=2").content
    assert answer["data"][0]["url"].endswith("/images/rgb@1/7.png?scale=2")


def test_a_number_that_is_no_seed_is_hashed() -> None:
    assert not read_prompt("4294967295").hashed
    assert read_prompt("4294967296").hashed
    assert read_prompt("-1").hashed


def test_n_images_have_consecutive_seeds(client: Client) -> None:
    images = ask(client, prompt="4294967295", n=3)["data"]
    assert [image["revised_prompt"].split()[1] for image in images] == ["4294967295", "0", "1"]


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [(None, {"b64_json", "url"}), ("url", {"url"}), ("b64_json", {"b64_json"})],
)
def test_an_image_is_sent_as_the_client_reads_it(client: Client, wanted: str | None, fields: set[str]) -> None:
    answer = ask(client, prompt="7", response_format=wanted)
    assert set(answer["data"][0]) == fields | {"revised_prompt"}
    assert (answer["size"], answer["output_format"]) == ("20x24", "png")


def test_an_address_is_that_of_the_host_that_was_asked(client: Client) -> None:
    headers = {"host": "draw.example", "x-forwarded-proto": "https"}
    body = {"model": "rgb", "prompt": "7", "response_format": "url"}
    (image,) = client.post(PATH, json=body, headers=headers).json()["data"]
    assert image["url"] == "https://draw.example/images/rgb@1/7.png"
    (image,) = client.post(PATH, json=body, headers={"host": "a b"}).json()["data"]
    assert image["url"] == "/images/rgb@1/7.png"


def test_fields_that_mean_nothing_here_are_accepted(client: Client) -> None:
    ask(client, prompt="7", quality="hd", style="vivid", user="me", background="opaque", stream=False, size="auto")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": "1023x17"}, "size"),
        ({"size": "large"}, "size"),
        ({"n": 0}, "n"),
        ({"prompt": ""}, "prompt"),
        ({"response_format": "jpeg"}, "response_format"),
        ({"stream": True}, "stream"),
        ({"seed": 7}, "seed"),
    ],
)
def test_a_wrong_field_is_named(client: Client, change: dict[str, Any], field: str) -> None:
    answer = client.post(PATH, json={"model": "rgb", "prompt": "7", **change})
    assert problem(answer, "invalid-field")["errors"][0]["field"] == field


def test_too_many_images_and_unknown_models_are_problems(client: Client) -> None:
    problem(client.post(PATH, json={"prompt": "7", "n": 65}), "too-many-images")
    problem(client.post(PATH, json={"prompt": "7", "model": "dall-e-3"}), "unknown-model")
    problem(client.get("/v1/models/dall-e-3"), "unknown-model")


def test_the_models_are_listed(client: Client) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [one["id"] for one in listed["data"]] == ["grey@2", "grey@1", "rgb@1"]
    assert client.get("/v1/models/rgb").json() == listed["data"][2]
    assert listed["data"][2]["created"] == 1767225600  # of the card's 2026-01-01
