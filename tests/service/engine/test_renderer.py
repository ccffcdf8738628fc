import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from service import memory
from service.engine import latents
from service.engine.model import Model
from service.engine.renderer import NotReadyError, Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats.registry import ARRAYS, named
from tests import tiny


def draw(renderer: Renderer, request: RenderRequest) -> np.ndarray:
    images: np.ndarray = renderer.submit(request, ARRAYS, 10)[0].result(10)
    return images


def test_a_seed_draws_its_latent(renderer: Renderer) -> None:
    model = renderer.library.find("rgb")
    by_latent = RenderRequest(model, latents=[latents.from_seed(9, 16)])
    np.testing.assert_array_equal(draw(renderer, RenderRequest(model, seeds=(9,))), draw(renderer, by_latent))


def test_truncation_brings_images_together(renderer: Renderer) -> None:
    model = renderer.library.find("rgb")
    whole, half, none = (draw(renderer, RenderRequest(model, psi, seeds=(1, 2))).astype(int) for psi in (1.0, 0.5, 0.0))
    np.testing.assert_array_equal(none[0], none[1])
    assert 0 < np.abs(half[0] - half[1]).mean() < np.abs(whole[0] - whole[1]).mean()


def test_a_model_without_a_centre_has_no_truncation(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="no truncation"):
        RenderRequest(renderer.library.find("grey"), 0.5, seeds=(9,))


def test_requests_of_different_truncation_and_kind_can_share_a_batch(renderer: Renderer) -> None:
    model = renderer.library.find("rgb")
    requests = [RenderRequest(model, psi, seeds=(seed, seed + 1)) for psi in (0.3, 1.0) for seed in range(20)]
    requests += [RenderRequest(model, latents=[np.full(16, i, np.float32)]) for i in range(20)]
    alone = [draw(renderer, request) for request in requests]
    together = [renderer.submit(request, ARRAYS, 10)[0] for request in requests]
    for expected, drawn in zip(alone, together, strict=True):
        np.testing.assert_array_equal(drawn.result(10), expected)


def test_a_seed_is_the_same_bytes_on_every_thread(renderer: Renderer) -> None:
    request = RenderRequest(renderer.library.find("rgb"), seeds=(42,))
    drawn = [renderer.submit(request, named("png"), 10)[0] for _ in range(200)]
    assert len({one.result(10) for one in drawn}) == 1


@pytest.mark.parametrize(("largest", "sizes"), [(1, [1]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_every_bucket_of_batches_is_warm_before_it_is_ready(
    tmp_path: Path, largest: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(tmp_path)
    renderer, ran, run = Renderer(tmp_path, max_batch=largest), [], Model.run

    def watched(model: Model, batch: np.ndarray) -> np.ndarray:
        assert renderer._library is None
        ran.append(len(batch))
        return run(model, batch)

    monkeypatch.setattr(Model, "run", watched)
    renderer.load()
    renderer.close()
    assert ran == sizes


def test_it_is_not_ready_until_it_is_loaded(models: Path) -> None:
    renderer, ready = Renderer(models), threading.Event()
    with pytest.raises(NotReadyError, match="being loaded"):
        _ = renderer.library
    renderer.start(ready.set)
    assert ready.wait(10)
    model = renderer.library.find("grey")
    renderer.close()
    with pytest.raises(NotReadyError, match="stopping"):
        renderer.submit(RenderRequest(model, seeds=(1,)), ARRAYS, 1)


def test_the_error_says_why_the_renderer_is_not_ready(tmp_path: Path) -> None:
    renderer = Renderer(tmp_path)
    with pytest.raises(ServiceError, match="no model"):
        renderer.load()
    renderer.start(pytest.fail).join(10)
    with pytest.raises(NotReadyError, match="no model in"):
        _ = renderer.library


def test_closing_while_the_models_load_leaves_nothing_served(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, go_on, run = threading.Event(), threading.Event(), Model.run

    def held(model: Model, batch: np.ndarray) -> np.ndarray:
        loading.set()
        assert go_on.wait(60)
        return run(model, batch)

    monkeypatch.setattr(Model, "run", held)
    renderer, announced = Renderer(models), []
    thread = renderer.start(lambda: announced.append("Serving on"))
    assert loading.wait(60)
    renderer.close()
    go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    assert announced == []
    assert list(renderer.served) == []
    with pytest.raises(NotReadyError, match="stopping"):
        _ = renderer.library


def test_a_failure_to_load_does_not_hide_that_the_server_is_stopping(tmp_path: Path) -> None:
    renderer = Renderer(tmp_path)
    renderer.close()
    renderer.start(pytest.fail).join(60)
    with pytest.raises(NotReadyError, match="stopping"):
        _ = renderer.library


def test_a_reload_gives_back_the_memory_of_the_models_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(tmp_path, tiny.card("kept"))
    gone = tiny.write(tmp_path, tiny.card("gone"))
    (tiny.write(tmp_path, tiny.card("damaged")) / "model.onnx").write_bytes(b"no model")
    renderer = Renderer(tmp_path)
    renderer.load()
    model = weakref.ref(renderer.library.find("gone"))
    draw(renderer, RenderRequest(renderer.library.find("gone"), seeds=(1,)))
    draw(renderer, RenderRequest(renderer.library.find("kept"), seeds=(1,)))
    held: list[object] = []
    monkeypatch.setattr(memory, "give_back", lambda: held.append(model()))
    shutil.rmtree(gone.parent)
    assert len(renderer.reload().refused) == 1
    renderer.close()
    assert held == [None]
