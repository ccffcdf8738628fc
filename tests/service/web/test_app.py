import base64
import io
import itertools
import logging
import re
import shutil
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.engine import latents
from service.engine.jobs import DeadlinePassedError, QueueFullError
from service.engine.renderer import Renderer
from service.formats import registry
from service.formats.base import ImageFormat
from service.formats.registry import FORMATS
from service.settings import read_settings
from service.telemetry import metrics
from service.web.app import make_app
from service.web.problem_types import ProblemType
from service.web.responder import MAX_SEEDS
from tests import tiny
from tests.e2e.server import counted
from tests.service.web.conftest import Client

JSON = {"content-type": "application/json"}
# By what a message says, the type of an error that is not the general one.
SLUG_OF = {
    "combined with": "conflicting-fields",
    "at most 64": "too-many-images",
    "numbers that grey@2 takes": "invalid-latent",
    "8 numbers": "invalid-latent",
}


SLUGS = {kind.slug: kind for kind in ProblemType}


def problem(answer: httpx.Response, slug: str) -> dict[str, Any]:
    """Check that an answer is a problem document of this type, and return it."""
    kind = SLUGS[slug]
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.headers["x-request-id"]
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"/problems/{slug}", document
    assert answer.status_code == document["status"] == kind.status
    assert document["title"] == kind.title
    assert document["detail"].endswith(".")
    assert "\n" not in document["detail"]
    return document


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_seed_is_a_picture_with_its_headers(client: Client) -> None:
    answer = client.post("/generate", json={"seed": 42, "model": "grey"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-seed"] == "42"
    assert answer.headers["x-model"] == "grey@2"
    assert answer.headers["x-deterministic"] == "exact"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-disposition"] == 'inline; filename="seed0042.png"'
    assert [stage.split(";")[0] for stage in answer.headers["server-timing"].split(", ")] == [
        "queue",
        "infer",
        "encode",
    ]
    image = Image.open(io.BytesIO(answer.content))
    assert (image.size, image.mode) == ((16, 16), "L")


def test_an_empty_body_draws_a_seed_that_it_tells(client: Client) -> None:
    answer = client.post("/generate")
    again = client.post("/generate", json={"seed": int(answer.headers["x-seed"])})
    assert answer.content == again.content
    assert answer.headers["x-seed"] != client.post("/generate").headers["x-seed"]


def test_n_images_have_consecutive_seeds_that_wrap(client: Client) -> None:
    answer = client.post("/generate", json={"seed": 2**32 - 1, "n": 3}, headers={"accept": "application/json"})
    assert [one["seed"] for one in answer.json()["data"]] == [2**32 - 1, 0, 1]
    assert answer.headers["x-seed"] == "4294967295,0,1"


def test_every_format_has_the_same_pixels(client: Client) -> None:
    body = {"seeds": [3, 9, 4], "model": "rgb"}
    alone = [pixels(client.post("/generate", json={"seed": seed, "model": "rgb"}).content) for seed in body["seeds"]]
    sheet = pixels(client.post("/generate", json=body).content)
    in_json = client.post("/generate", json=body, headers={"accept": "application/json"}).json()["data"]
    zipped = client.post("/generate", json=body, headers={"accept": "application/zip"})
    assert zipped.headers["content-disposition"] == 'attachment; filename="seed0003-seed0004.zip"'
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        for i, (name, image) in enumerate(zip(archive.namelist(), alone, strict=True)):
            np.testing.assert_array_equal(pixels(archive.read(name)), image)
            np.testing.assert_array_equal(pixels(base64.b64decode(in_json[i]["b64_json"])), image)
            y, x = i // 2 * 24, i % 2 * 20
            np.testing.assert_array_equal(sheet[y : y + 24, x : x + 20], image)


def test_webp_and_jpeg_are_sent_to_clients_that_prefer_them(client: Client) -> None:
    body = {"seeds": [3, 9], "model": "rgb"}
    sheet = pixels(client.post("/generate", json=body).content)
    webp = client.post("/generate", json=body, headers={"accept": "image/png;q=0.9, image/webp"})
    assert (webp.headers["content-type"], webp.headers["x-seed"]) == ("image/webp", "3,9")
    assert webp.headers["content-disposition"] == 'inline; filename="seed0003-seed0009.webp"'
    np.testing.assert_array_equal(pixels(webp.content), sheet)
    jpeg = client.post("/generate", json=body, headers={"accept": "image/jpeg"})
    assert jpeg.headers["content-type"] == "image/jpeg"
    assert pixels(jpeg.content).shape == sheet.shape


def test_tiled_images_too_large_for_a_format_are_refused_before_they_are_drawn(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = ImageFormat("toy", "image/toy", "toy", max_side=39, encode=lambda image, _: image.tobytes())
    monkeypatch.setattr(registry, "FORMATS", (*FORMATS, toy))
    client = Client(make_app(renderer, read_settings()))
    assert client.post("/generate", json={"n": 1, "model": "rgb", "format": "toy"}).status_code == 200
    monkeypatch.setattr(renderer, "submit", lambda *_: pytest.fail("it was drawn"))
    answer = client.post("/generate", json={"n": 2, "model": "rgb", "format": "toy"})
    assert "39 pixels" in problem(answer, "image-too-large")["detail"]


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("png", "image/png"),
        ("webp", "image/webp"),
        ("jpeg", "image/jpeg"),
        ("json", "application/json"),
        ("zip", "application/zip"),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "application/json", "image/webp;q=0.5", "text/html"])
def test_the_format_in_the_body_decides_before_accept(client: Client, name: str, media_type: str, accept: str) -> None:
    answer = client.post("/generate", json={"seed": 1, "format": name}, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("format_", [None, "absent"])
def test_without_a_format_accept_decides_and_without_a_preference_it_is_png(
    client: Client, format_: str | None
) -> None:
    body = {"seed": 1} | ({} if format_ == "absent" else {"format": format_})
    assert client.post("/generate", json=body).headers["content-type"] == "image/png"
    answer = client.post("/generate", json=body, headers={"accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"


def test_the_order_of_headers_changes_nothing(client: Client) -> None:
    sent = [("content-type", "application/json"), ("accept", "application/json"), ("user-agent", "curl/8.5.0")]
    bodies = {
        client.request("POST", "/generate", content=b'{"seed": 1}', headers=order).content
        for order in itertools.permutations(sent)
    }
    assert len(bodies) == 1


def test_x_seed_is_bounded(renderer: Renderer) -> None:
    client = Client(make_app(renderer, read_settings(max_images=100)))
    for n, more in ((MAX_SEEDS, []), (MAX_SEEDS + 1, ["..."])):
        given = client.post("/generate", json={"seed": 2**32 - 100, "n": n}).headers["x-seed"]
        assert given.split(",") == [str(2**32 - 100 + i) for i in range(MAX_SEEDS)] + more
        assert len(given) < 1024


def test_a_latent_draws_what_its_seed_draws_and_names_no_seed(client: Client) -> None:
    latent = latents.from_seed(5, 8).tolist()
    answer = client.post("/generate", json={"latent": latent, "model": "grey"})
    by_seed = client.post("/generate", json={"seed": 5, "model": "grey"})
    assert "x-seed" not in answer.headers
    np.testing.assert_array_equal(pixels(answer.content), pixels(by_seed.content))
    many = client.post(
        "/generate", json={"latents": [latent] * 2, "model": "grey"}, headers={"accept": "application/json"}
    )
    assert [one["seed"] for one in many.json()["data"]] == [None, None]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"seed": True}, "seed", "seed must be an integer from 0 to 4294967295"),
        ({"seed": 1.5}, "seed", "an integer"),
        ({"seed": 1e300}, "seed", "an integer"),
        ({"seed": "1"}, "seed", "an integer"),
        ({"seed": -1}, "seed", "from 0"),
        ({"seed": 2**32}, "seed", "to 4294967295"),
        ({"seed": 10**40}, "seed", "to 4294967295"),
        ({"seed": [1]}, "seed", "an integer"),
        ({"seeds": 1}, "seeds", "a list"),
        ({"seeds": []}, "seeds", "a list"),
        ({"seeds": [1, True]}, "seeds.1", "integers"),
        ({"seeds": list(range(65))}, "seeds", "at most 64"),
        ({"latent": []}, "latent", "numbers"),
        ({"latent": [0.0] * 9}, "latent", "8 numbers that grey@2 takes, not 9"),
        ({"latent": [True] * 8}, "latent.0", "numbers"),
        ({"latent": ["0"] * 8}, "latent.0", "numbers"),
        ({"latent": [1e9] * 8}, "latent.0", "from -1000 to 1000"),
        ({"latents": [[0.0] * 8, [0.0] * 7]}, "latents.1", "8 numbers"),
        ({"latents": [[0.0] * 8] * 65}, "latents", "at most 64"),
        ({"n": 0}, "n", "an integer"),
        ({"n": 65}, "n", "at most 64"),
        ({"n": True}, "n", "an integer"),
        ({"n": 2, "seeds": [1, 2]}, "n", "combined with seeds"),
        ({"n": 2, "latent": [0.0] * 8}, "n", "combined with latent"),
        ({"seed": 1, "latent": [0.0] * 8}, "latent", "combined with seed"),
        ({"truncation": -0.1}, "truncation", "from 0 to 2"),
        ({"truncation": "1"}, "truncation", "a number"),
        ({"truncation": True}, "truncation", "a number"),
        ({"model": 7}, "model", "digits@1"),
        ({"format": 1}, "format", "the name of a format"),
        ({"format": "PNG"}, "format", '"png", "webp", "jpeg", "json", "zip"'),
        ({"format": "apng"}, "format", '"png"'),
        ({"sede": 1}, "sede", "sede is not a field; the fields are model, seed"),
    ],
)
def test_an_error_names_the_field_with_a_wrong_value(
    client: Client, body: dict[str, Any], field: str, said: str
) -> None:
    slug = next((slug for word, slug in SLUG_OF.items() if word in said), "invalid-field")
    document = problem(client.post("/generate", json={"model": "grey"} | body), slug)
    assert document["errors"][0]["field"] == field
    assert said in document["errors"][0]["message"]
    assert said in document["detail"]


def test_an_integer_may_be_written_with_a_decimal_point(client: Client) -> None:
    body = {"model": "grey", "seed": 7.0, "n": 2.0}
    assert client.post("/generate", json=body).headers["x-seed"] == "7,8"
    assert client.post("/generate", json={"model": "grey", "seeds": [7.0, 8]}).headers["x-seed"] == "7,8"


def test_an_error_names_every_wrong_field(client: Client) -> None:
    document = problem(client.post("/generate", json={"seed": -1, "n": 0, "x": 1}), "invalid-field")
    assert {error["field"] for error in document["errors"]} == {"seed", "n", "x"}


@pytest.mark.parametrize("body", ["[1]", "null", "1", '"seed"', "true"])
def test_a_body_that_is_not_an_object_is_422_with_an_example(client: Client, body: str) -> None:
    assert '{"seed": 42' in problem(client.post("/generate", content=body, headers=JSON), "invalid-field")["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "line 1"),
        (b"seed=1", "line 1"),
        (b'{"seed": NaN}', "column 10"),
        (b'{"truncation": -Infinity}', "line 1"),
        (b'{"seed": 1, "seed": 2}', "twice"),
        (b'{"seed": 1}}', "trailing"),
        (b"[" * 4000, "recursion"),
        (b'{"a":' * 60, "line 1"),
        (b'{"seed": ' + b"9" * 4000 + b"}", None),
        (b'{"model": "\xff"}', "UTF-8"),
        ('{"seed": 1}'.encode("utf-16"), "UTF-8"),
        (b'{"model": "\\ud800"}', "hex escape"),
        (b'{"\\ud800": 1}', "hex escape"),
        (b'\xef\xbb\xbf{"seed": 1}', "column 1"),
        (b" ", "line 1"),
    ],
)
def test_a_body_that_is_not_json_is_400_with_the_reason(client: Client, body: bytes, said: str | None) -> None:
    answer = client.post("/generate", content=body, headers=JSON)
    if said is None:
        problem(answer, "invalid-field")
    else:
        assert said in problem(answer, "invalid-json")["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/plain"},
        {"content-type": "application/jsonx"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {},
    ],
)
def test_a_body_of_another_type_is_415(client: Client, headers: dict[str, str]) -> None:
    assert (
        "Content-Type"
        in problem(client.post("/generate", content=b'{"seed": 1}', headers=headers), "unsupported-media-type")[
            "detail"
        ]
    )


def test_json_may_name_its_charset(client: Client) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/generate", content=b'{"seed": 1}', headers=headers).status_code == 200


def test_a_body_that_is_too_long_is_413_announced_or_not(client: Client) -> None:
    problem(client.post("/generate", content=b" " * 5000, headers=JSON), "body-too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1000

    assert "4096 bytes" in problem(client.post("/generate", content=chunks(), headers=JSON), "body-too-large")["detail"]


def test_an_accept_header_without_an_offered_format_is_406(client: Client) -> None:
    assert "image/png" in problem(client.post("/generate", headers={"accept": "text/html"}), "not-acceptable")["detail"]


@pytest.mark.parametrize("model", ["cats", "grey@9", "grey@", "Ü", "grey@2 "])
def test_a_model_that_is_not_served_is_404_with_those_that_are(client: Client, model: str) -> None:
    assert (
        "grey@2, grey@1, rgb@1" in problem(client.post("/generate", json={"model": model}), "unknown-model")["detail"]
    )


def test_an_unknown_path_is_404(client: Client) -> None:
    for path in ("/nothing", "/generate/", "http://test//generate", "/models/grey/1", "/%00", "/é", "/problems/x"):
        problem(client.get(path), "not-found")
    problem(client.get("/models/cats"), "unknown-model")


def test_another_method_on_a_probe_is_405(client: Client) -> None:
    answer = client.post("/livez")
    problem(answer, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"


def test_another_method_is_405_with_those_that_are_allowed(client: Client) -> None:
    assert client.get("/generate").headers["allow"] == "POST"
    problem(client.get("/generate"), "method-not-allowed")
    problem(client.post("/models"), "method-not-allowed")
    assert client.post("/models").headers["allow"] == "GET, HEAD"


def test_a_full_queue_is_503_with_retry_after(
    client: Client, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise QueueFullError

    monkeypatch.setattr(renderer, "submit", full)
    answer = client.post("/generate")
    problem(answer, "queue-full")
    assert answer.headers["retry-after"] == "1"


def test_a_deadline_is_504(client: Client, renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any) -> None:
        raise DeadlinePassedError

    monkeypatch.setattr(renderer, "submit", late)
    problem(client.post("/generate"), "deadline-passed")


def test_a_service_that_is_not_ready_is_503_with_the_reason() -> None:
    client = Client(make_app(Renderer(Path("models")), read_settings()))
    for answer in (client.post("/generate"), client.get("/models"), client.get("/models/grey")):
        assert "being loaded" in problem(answer, "not-ready")["detail"]
        assert answer.headers["retry-after"]


def test_an_unexpected_exception_is_500_without_details_and_logged_with_the_request_id(
    client: Client, renderer: Renderer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the secret")

    monkeypatch.setattr(renderer, "submit", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.post("/generate", headers={"x-request-id": "abc-1"})
    problem(answer, "internal-error")
    assert "secret" not in answer.text
    assert "abc-1" in caplog.text
    assert "the secret" in caplog.text


def test_a_sane_request_id_is_echoed_and_another_replaced(client: Client) -> None:
    for given_id in ("abc-123", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a" * 128):
        assert client.get("/models", headers={"x-request-id": given_id}).headers["x-request-id"] == given_id
    for given_id in ("", "a" * 129, "a b", "<script>"):
        made = client.get("/models", headers={"x-request-id": given_id}).headers["x-request-id"]
        assert made != given_id
        assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]+", made)


def test_metrics_are_labelled_by_route_template_and_never_by_what_a_client_sends(client: Client) -> None:
    client.get("/models/grey@1")
    client.get("/models/x-not-there")
    client.get("/x-nowhere")
    client.request("XBREW", "/generate")
    client.post("/generate", json={"seed": 1, "n": 3, "model": "rgb"})
    text = client.get("/metrics").text
    assert 'nelumbo_requests_total{method="GET",route="/models/{model}",status="200"}' in text
    assert 'nelumbo_requests_total{method="GET",route="none",status="404"}' in text
    assert 'nelumbo_requests_total{method="other",route="/generate",status="405"}' in text
    assert 'nelumbo_images_total{model="rgb@1"}' in text
    assert "x-no" not in text
    assert "XBREW" not in text
    for name in ("batch_images", "queue_seconds", "infer_seconds", "encode_seconds"):
        assert f"nelumbo_{name}_count" in text


def test_a_removed_model_is_not_in_the_metrics(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path, tiny.card("old"))
    tiny.write(tmp_path, tiny.card("kept"))
    renderer = Renderer(tmp_path)
    client = Client(make_app(renderer, read_settings()))
    assert "nelumbo_model_info{" not in client.get("/metrics").text
    renderer.load()
    (old,) = (model for model in renderer.library if model.card.name == "old")
    line = f'nelumbo_model_info{{digest="{old.digest}",model="old@1",provider="cpu"}} 1.0'
    assert line in client.get("/metrics").text
    shutil.rmtree(folder)
    renderer.reload()
    text = client.get("/metrics").text
    renderer.close()
    assert 'model="kept@1",provider="cpu"} 1.0' in text
    assert "old@1" not in text


def test_only_the_time_of_requests_that_got_what_they_asked_for_is_counted(client: Client) -> None:
    def count() -> float:
        return counted(client.get("/metrics").text, "nelumbo_request_seconds_count", route="/generate")

    before = count()
    client.post("/generate", json={"seed": 1})
    client.post("/generate", json={"seed": -1})
    assert count() == before + 1


def test_a_refused_request_is_counted(client: Client, renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = metrics.REJECTED._value.get()
    monkeypatch.setattr(renderer._batcher, "_bound", 2)
    problem(client.post("/generate", json={"n": 3}), "queue-full")
    assert metrics.REJECTED._value.get() == before + 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["model", "seed", "seeds", "latent", "latents", "n", "truncation", "format", "other"])


@settings(max_examples=100, deadline=None)
@given(body=st.dictionaries(fields, json_values, max_size=4))
def test_no_request_causes_a_500(client: Client, body: dict[str, Any]) -> None:
    answer = client.post("/generate", json=body)
    if answer.status_code != 200:
        problem(answer, answer.json()["type"].removeprefix("/problems/"))
        assert answer.status_code in (400, 404, 422)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200))
def test_no_bytes_that_a_client_sends_are_a_fault_of_ours(client: Client, body: bytes) -> None:
    assert client.post("/generate", content=body, headers=JSON).status_code in (200, 400, 422)
