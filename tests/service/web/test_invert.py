import asyncio
import base64
import io
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from service import keys
from service.contract import digest_of
from service.contract.encoder import ENCODER_FILE, EncoderCard
from service.engine.checker import Checker
from service.engine.inversion import images_drawn
from service.engine.jobs import QueueFullError
from service.engine.library import Library, NotReadyError, load_library
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.engine.verdicts import Verdict
from service.settings import read_settings
from service.web.app import make_app
from service.web.invert import ESTIMATE, WAITING
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


@pytest.mark.parametrize("steps", [0, 4, 8])
def test_an_inversion_counts_as_the_images_that_it_may_draw_and_some_for_the_picture(
    inverting: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: int
) -> None:
    key, keys_file, drawn = keys.new(), tmp_path / "keys", 0
    keys_file.write_text(keys.line("mobile", key))
    body = picture(inverting)
    with inverted_by(tmp_path, api_keys=keys_file, quota="1000/day", workers=1) as (client, renderer):
        submit = renderer.submit

        def counted(request: RenderRequest, *given: object) -> object:
            nonlocal drawn
            drawn += len(request)
            return submit(request, *given)  # type: ignore[arg-type]

        monkeypatch.setattr(renderer, "submit", counted)
        headers = {"Content-Type": "image/png", "X-API-Key": key}
        answer = client.post(f"/invert?model=known&steps={steps}", content=body, headers=headers)
    assert answer.status_code == 200
    spent = 1000 - int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])
    missing = steps - answer.json()["steps"]  # it ended early; the last that was tried was drawn, and led nowhere
    assert drawn + ESTIMATE <= spent <= drawn + ESTIMATE + missing * (8 + 5)
    assert spent == ESTIMATE + images_drawn(8, steps)


def test_a_limit_that_no_inversion_of_so_many_steps_fits_into_says_what_it_counts_as(
    inverting: Client, tmp_path: Path
) -> None:
    key, keys_file = keys.new(), tmp_path / "keys"
    keys_file.write_text(keys.line("mobile", key))
    headers = {"Content-Type": "image/png", "X-API-Key": key}
    with inverted_by(tmp_path, api_keys=keys_file, quota="30/day", workers=1) as (client, _):
        refused = client.post("/invert?model=known&steps=4", content=picture(inverting), headers=headers)
        found = client.post("/invert?model=known&steps=0", content=picture(inverting), headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/over-limit")
    assert str(ESTIMATE + images_drawn(8, 4)) in refused.json()["detail"]
    assert found.status_code == 200


@contextmanager
def inverted_by(folder: Path, **settings: object) -> Iterator[tuple[Client, Renderer]]:
    """Serve a model with an encoder by an app of its own."""
    write_encoder(tiny.write(folder / "models", tiny.card("known")))
    renderer = Renderer(folder / "models")
    renderer.load()
    yield Client(make_app(renderer, read_settings(**settings))), renderer
    renderer.close()


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


def test_a_model_whose_encoder_is_being_checked_is_not_said_to_have_none(tmp_path: Path) -> None:
    class ModelsFirst(Checker):
        def check(self, files: Sequence[Path], nice: int = 0) -> Iterator[tuple[Path, Verdict]]:
            yield from sorted(super().check(files, nice), key=lambda checked: checked[0].name == ENCODER_FILE)

    write_encoder(tiny.write(tmp_path, tiny.card("known")))
    tiny.write(tmp_path, tiny.card("plain"))
    shown: list[Library] = []
    load_library(tmp_path, "cpu", publish=shown.append, checker=ModelsFirst())
    for library in shown[1:-1]:
        with pytest.raises(NotReadyError):
            library.require_encoder(library.find("known"))
        library.require_encoder(library.find("plain"))
    shown[-1].require_encoder(shown[-1].find("known"))
    assert [library.find("known").encoder is None for library in shown[1:]] == [True, False]
