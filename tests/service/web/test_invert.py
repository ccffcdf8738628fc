import asyncio
import base64
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from service.contract import digest_of
from service.contract.encoder import ENCODER_FILE, EncoderCard
from service.engine.jobs import QueueFullError
from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.invert import WAITING
from service.web.threads import BoundedThread
from tests import tiny
from tests.service.web.conftest import Client


def write_encoder(folder: Path, **changes: object) -> None:
    """Write the least encoder of a tiny model: every number of the latent is a sum of pixels."""
    source = digest_of((folder / "model.onnx").read_bytes())
    card = EncoderCard.model_validate(
        {
            "source": source, "latent_dim": 8, "height": 16, "width": 16, "channels": 1, "error": 9.5,
            "unrelated": 80, "samples": 4, "images_seen": 0, "date": "2026-01-01",
        } | changes
    )  # fmt: skip
    weights = np.random.default_rng(0).normal(size=(256, 8)).astype(np.float32) / 4096
    constants = {"weights": weights, "shape": np.array([0, 256], np.int64)}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["levels", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["latent"]),
        ],
        "encoder",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 16, 16, 1])],
        [helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.helper.set_model_props(made, card.to_metadata())
    data = made.SerializeToString()
    (folder / ENCODER_FILE).write_bytes(data)
    with (folder / "sha256").open("a") as file:
        file.write(f"{digest_of(data)}  {ENCODER_FILE}\n")


@pytest.fixture(scope="module")
def inverting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("models")
    write_encoder(tiny.write(folder, tiny.card("known")))
    tiny.write(folder, tiny.card("plain"))
    write_encoder(tiny.write(folder, tiny.conditional("letters")))
    write_encoder(tiny.write(folder, tiny.card("strange")), source="0" * 64)
    renderer = Renderer(folder)
    renderer.load()
    yield Client(make_app(renderer, read_settings(max_photo=10_000, max_images=4)))
    renderer.close()


def picture(client: Client, seed: int = 3, kind: str = "PNG") -> bytes:
    """Return what the model draws of a seed: a picture that it can draw."""
    drawn = client.post("/generate", json={"model": "known", "seed": seed, "format": "png"}).content
    file = io.BytesIO()
    Image.open(io.BytesIO(drawn)).save(file, kind)
    return file.getvalue()


def invert(client: Client, body: bytes, query: str = "?model=known", kind: str = "image/png") -> object:
    return client.post(f"/invert{query}", content=body, headers={"Content-Type": kind})


def test_the_latent_of_a_picture_draws_an_image_that_is_near(inverting: Client) -> None:
    near = invert(inverting, picture(inverting), "?model=known&steps=8")
    far = invert(inverting, picture(inverting), "?model=known&steps=0")
    assert near.status_code == 200
    assert near.json()["distance"] < far.json()["distance"]
    assert near.json()["steps"] > 0
    assert near.headers["x-model"] == "known@1"


def test_the_latent_draws_the_image_of_the_answer_again(inverting: Client) -> None:
    answer = invert(inverting, picture(inverting)).json()
    again = inverting.post("/generate", json={"model": "known", "latent": answer["latent"], "format": "png"}).content
    assert base64.b64decode(answer["b64_json"]) == again


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_every_format_is_taken(inverting: Client, kind: str) -> None:
    assert invert(inverting, picture(inverting, kind=kind), kind=f"image/{kind.lower()}").status_code == 200


@pytest.mark.parametrize(
    ("body", "query", "kind", "status", "slug"),
    [
        (b"x", "?model=plain", "image/png", 422, "no-encoder"),
        (b"x", "?model=strange", "image/png", 422, "no-encoder"),
        (b"x", "?model=unknown", "image/png", 404, "unknown-model"),
        (b"x", "?model=known", "image/png", 422, "invalid-picture"),
        (b"", "?model=known", "image/png", 422, "invalid-picture"),
        (b"x" * 10_001, "?model=known", "image/png", 413, "body-too-large"),
        (b"{}", "?model=known", "application/json", 415, "unsupported-media-type"),
        (b"x", "?model=known&steps=9", "image/png", 422, "invalid-field"),
        (b"x", "?model=known&colour=red", "image/png", 422, "invalid-field"),
        (b"x", "?model=known&class=A", "image/png", 422, "unsupported-by-model"),
        (b"x", "?model=letters&class=Z", "image/png", 422, "unknown-class"),
    ],
)
def test_what_cannot_be_inverted_is_refused(
    inverting: Client, body: bytes, query: str, kind: str, status: int, slug: str
) -> None:
    answer = invert(inverting, body, query, kind)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_latent_of_a_class_draws_it(inverting: Client, name: str) -> None:
    asked = {"model": "letters", "class": name, "format": "png"}
    body = inverting.post("/generate", json={**asked, "seed": 3}).content
    answer = invert(inverting, body, f"?model=letters&class={name}&steps=8").json()
    assert answer["class"] == name
    again = inverting.post("/generate", json={**asked, "latent": answer["latent"]}).content
    assert base64.b64decode(answer["b64_json"]) == again
    assert answer["distance"] < invert(inverting, body, f"?model=letters&class={name}&steps=0").json()["distance"]


def test_a_model_says_whether_it_has_an_encoder_and_how_good_it_is(inverting: Client) -> None:
    models = {model["name"]: model["encoder"] for model in inverting.get("/models").json()["models"]}
    measured = {"error": 9.5, "unrelated": 80.0, "samples": 4}
    assert models == {"known": measured, "letters": measured, "plain": None, "strange": None}


def test_a_thread_takes_no_more_work_than_it_may() -> None:
    thread, begun, go = BoundedThread(2), threading.Event(), threading.Event()

    def work(is_over: object) -> bytes:
        begun.set()
        assert go.wait(10)
        return b"done"

    first, second = thread.submit(work), thread.submit(work)
    with pytest.raises(QueueFullError):
        thread.submit(work)
    assert begun.wait(10)
    second.cancel()
    go.set()
    assert first.result(10) == b"done"
    assert thread.submit(lambda is_over: b"again").result(10) == b"again"


def test_uploads_that_stall_hold_no_more_than_they_may_together_and_let_others_in_when_they_end(
    inverting: Client,
) -> None:
    go, full, sent = asyncio.Event(), asyncio.Event(), 0

    async def stalled() -> AsyncIterator[bytes]:
        nonlocal sent
        sent += 1
        yield b"x" * 10_000
        if sent == WAITING:
            full.set()
        await go.wait()

    async def send_all() -> list[int]:
        transport = httpx.ASGITransport(inverting.app)
        headers = {"Content-Type": "image/png"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            uploads = [
                asyncio.ensure_future(client.post("/invert?model=known", content=stalled())) for _ in range(WAITING)
            ]
            await full.wait()
            refused = await client.post("/invert?model=known", content=b"x")
            drawn = await client.post(
                "/generate", json={"model": "known"}, headers={"Content-Type": "application/json"}
            )
            go.set()
            ended = [(await upload).status_code for upload in uploads]
            taken = await client.post("/invert?model=known", content=b"x")
        assert refused.json()["type"] == "/problems/queue-full"
        assert int(refused.headers["retry-after"]) >= 1
        return [refused.status_code, drawn.status_code, *ended, taken.status_code]

    assert asyncio.run(send_all()) == [503, 200, *[422] * WAITING, 422]
