import json

import numpy as np
import pytest

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.render import to_json
from tests.service.web.conftest import Client
from tests.service.web.test_app import pixels, problem


@pytest.mark.parametrize("shape", [(1,), (2, 3), (2, 3, 4), (1, 1, 1, 1), (3, 5, 4, 3)])
def test_an_array_of_any_shape_is_json_of_its_numbers(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert json.loads(to_json(array)) == array.tolist()


def test_every_value_of_a_byte_is_written() -> None:
    assert json.loads(to_json(np.arange(256, dtype=np.uint8))) == list(range(256))


def test_latents_are_drawn_as_generate_draws_them(client: Client) -> None:
    latents = [[0.5, -1, 3.25, 0, 0, 0, 0, 0], [1] * 8]
    answer = client.post("/render", json={"latents": latents})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-model"] == "grey@2"
    assert "x-request-id" in answer.headers
    assert "vary" not in answer.headers
    drawn = np.array(answer.json(), np.uint8)
    assert drawn.shape == (2, 16, 16, 1)
    for latent, image in zip(latents, drawn, strict=True):
        assert (pixels(client.post("/generate", json={"latent": latent}).content) == image[..., 0]).all()


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({}, "invalid-field"),
        ({"latents": []}, "invalid-field"),
        ({"latents": [[]]}, "invalid-field"),
        ({"latents": [[1] * 7]}, "invalid-latent"),
        ({"latents": [[1] * 8] * 65}, "too-many-images"),
        ({"latents": [["1"] * 8]}, "invalid-field"),
        ({"latents": [[True] * 8]}, "invalid-field"),
        ({"latents": [[1e9] * 8]}, "invalid-field"),
        ({"latents": 1}, "invalid-field"),
        ({"latents": [[1] * 8], "model": "grey"}, "invalid-field"),
        ([], "invalid-field"),
    ],
)
def test_a_wrong_body_is_a_problem_and_no_traceback(
    client: Client, body: object, slug: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    problem(client.post("/render", json=body), slug)
    assert not caplog.records
    assert "Traceback" not in "".join(capfd.readouterr())


def test_only_json_is_read(client: Client) -> None:
    for media_type in ("multipart/form-data", "application/vnd.bentoml+pickle", "text/plain"):
        problem(
            client.post("/render", content=b"cos\nsystem\n.", headers={"content-type": media_type}),
            "unsupported-media-type",
        )
    problem(client.post("/render", json={"latents": [[0.12345678901234567] * 8] * 64}), "body-too-large")


def test_a_server_that_draws_fewer_at_once_refuses_more(renderer: Renderer) -> None:
    small = Client(make_app(renderer, read_settings(max_images=2)))
    assert small.post("/render", json={"latents": [[1] * 8] * 2}).status_code == 200
    problem(small.post("/render", json={"latents": [[1] * 8] * 3}), "too-many-images")
