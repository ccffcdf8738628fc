from pathlib import Path

import pytest

from training import expect
from training import recipe as recipes
from training.run import Config, InitFrom


def config(name: str = "cats-best", minutes: float | None = None, **fields: float) -> Config:
    recipe = recipes.load(name, **fields)
    return Config(name=name, recipe=recipe, data="cats", seed=0, device="cpu", minutes=minutes)


def test_a_short_run_is_told_its_share_and_what_to_expect() -> None:
    (line,) = expect.lines(config(kimg=60))
    assert line.startswith("60 kimg are 12% of the 500 kimg that cats-best asks for; expect shapes")


def test_a_run_from_trained_weights_is_told_to_expect_more() -> None:
    begun = config(kimg=60).model_copy(update={"init_from": InitFrom(path="weights", images_seen=1)})
    (line,) = expect.lines(begun)
    assert line.endswith("trained weights")
    (line,) = expect.lines(begun.model_copy(update={"recipe": recipes.load("cats-best", kimg=10)}))
    assert line.endswith(expect.GHOSTS)


def test_minutes_are_converted_by_the_measured_speed() -> None:
    (line,) = expect.lines(config(minutes=15), speed=200)  # 180,000 images
    assert line.startswith("15 minutes are 36% of the 500 kimg")
    assert list(expect.lines(config(minutes=15))) == []


def test_a_run_of_the_whole_length_is_told_nothing() -> None:
    assert list(expect.lines(config())) == []
    assert list(expect.lines(config(minutes=15), speed=2000)) == []


@pytest.mark.parametrize("kimg", [1, 100, 300, 450, 490])
def test_every_share_has_a_stage(kimg: float) -> None:
    (line,) = expect.lines(config(kimg=kimg))
    assert "expect " in line


def test_a_recipe_that_is_gone_is_told_nothing(tmp_path: Path) -> None:
    gone = config(kimg=1).model_copy(update={"name": str(tmp_path / "mine.yaml")})
    assert list(expect.lines(gone)) == []
