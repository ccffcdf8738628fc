"""Models of schema 2 in the engine: what a seed draws, and rows that differ in one batch."""

import numpy as np
import pytest
from onnx import helper

from service.engine import latents
from service.engine.checker import Checker
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.formats.registry import ARRAYS
from tests import tiny
from tests.service.engine.test_renderer import draw


def test_a_seed_draws_its_class_after_its_latent(lettered: Renderer) -> None:
    model = lettered.library.find("letters")
    for seed in (0, 7, 42, 2**32 - 1):
        state = np.random.RandomState(seed)
        latent, label = state.randn(8).astype(np.float32), state.randint(3)
        request = RenderRequest(model, seeds=(seed,))
        assert request.class_of(0) == model.card.classes[label]
        asked = RenderRequest(model, latents=[latent], labels=[label])
        np.testing.assert_array_equal(draw(lettered, request), draw(lettered, asked))


def test_the_classes_that_seeds_draw_are_spread() -> None:
    drawn = [latents.with_label(seed, 64, 26)[1] for seed in range(2600)]
    counts = np.bincount(drawn, minlength=26)
    assert counts.min() > 60
    assert counts.max() < 150


def test_a_latent_without_a_class_is_of_the_first(lettered: Renderer) -> None:
    model, latent = lettered.library.find("letters"), np.ones(8, np.float32)
    request = RenderRequest(model, latents=[latent])
    assert request.class_of(0) == "A"
    np.testing.assert_array_equal(
        draw(lettered, request), draw(lettered, RenderRequest(model, latents=[latent], labels=[0]))
    )


def test_every_input_changes_the_image_and_is_off_where_it_is_neutral(lettered: Renderer) -> None:
    model = lettered.library.find("letters")
    neutral = draw(lettered, RenderRequest(model, seeds=(5,), labels=[1]))
    np.testing.assert_array_equal(
        draw(lettered, RenderRequest(model, 1.0, seeds=(5,), labels=[1], directions=[0, 0])), neutral
    )
    for changes in ({"labels": [2]}, {"truncation": 0.5}, {"directions": [0, 2.0]}, {"directions": [2.0, 0]}):
        request = RenderRequest(model, **{"seeds": (5,), "labels": [1]} | changes)  # type: ignore[arg-type]
        assert (draw(lettered, request) != neutral).any(), changes


def test_requests_that_differ_in_every_input_share_a_batch(lettered: Renderer) -> None:
    model, plain = lettered.library.find("letters"), lettered.library.find("plain")
    requests = [
        RenderRequest(
            model, 1 - i % 3 / 4, seeds=(i, i + 1), labels=[[], [i % 3], [i % 3, 0]][i % 3], directions=[i / 9, 1]
        )
        for i in range(30)
    ]
    requests += [RenderRequest(plain, seeds=(i,)) for i in range(10)]
    alone = [draw(lettered, request) for request in requests]
    together = [lettered.submit(request, ARRAYS, 10)[0] for request in requests]
    for expected, drawn in zip(alone, together, strict=True):
        np.testing.assert_array_equal(drawn.result(10), expected)


@pytest.mark.parametrize("labels", [[3], [-1], [0, 3]])
def test_a_label_out_of_range_never_reaches_the_graph(lettered: Renderer, labels: list[int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        RenderRequest(lettered.library.find("letters"), seeds=(1, 2), labels=labels)
    with pytest.raises(ValueError, match="out of range"):
        RenderRequest(lettered.library.find("plain"), seeds=(1,), labels=[0])


def test_a_table_with_fewer_classes_than_the_card_is_found_before_it_is_served(tmp_path: object) -> None:
    described = tiny.conditional(classes=["A", "B", "Ça", "D"])
    made = tiny.model(tiny.conditional())
    helper.set_model_props(made, described.to_metadata())
    folder = tiny.write(tmp_path, described, made)  # type: ignore[arg-type]
    ((_, verdict),) = Checker(4).check([folder / "model.onnx"])
    assert verdict.kind == "wrong-signature"


def test_a_good_model_with_every_input_is_exact(tmp_path: object) -> None:
    folder = tiny.write(tmp_path, tiny.conditional())  # type: ignore[arg-type]
    ((_, verdict),) = Checker(16).check([folder / "model.onnx"])
    assert verdict.refused is None
    assert verdict.exact


def test_files_are_named_by_the_class_that_was_asked_for(lettered: Renderer) -> None:
    model = lettered.library.find("letters")
    assert RenderRequest(model, seeds=(4,)).names() == ["seed0004"]
    assert RenderRequest(model, seeds=(4,), labels=[1]).title() == "seed0004-B"
    assert RenderRequest(model, seeds=(4, 4, 4), labels=[0, 2, 0]).names() == [
        "seed0004-A",
        "seed0004-class2",
        "seed0004-A-1",
    ]


def test_the_texts_say_how_to_draw_again(lettered: Renderer) -> None:
    model = lettered.library.find("letters")
    request = RenderRequest(model, 0.5, seeds=(4, 5), labels=[0, 2], directions=[0, 1.5], scale=3)
    same = {"model": "letters", "version": "1", "truncation": "0.5", "directions": '{"1": 1.5}', "scale": "3"}
    assert request.texts() == same | {"seed": "4,5", "class": '["A", "Ça"]'}
    assert request.texts_of(1) == same | {"seed": "5", "class": "Ça"}
    assert RenderRequest(model, seeds=(4, 5), labels=[1]).texts()["class"] == "B"
