from pathlib import Path

import pytest

from training import recipe as recipes
from training.errors import InputError
from training.pictures import FRAMES


@pytest.mark.parametrize("name", recipes.names())
def test_every_shipped_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    assert len(recipes.load(name).summary) > 20


def test_the_three_articles_are_there() -> None:
    assert {"lotus", "cats", "digits"} <= set(recipes.names())
    cats, digits, lotus = (recipes.load(name) for name in ("cats", "digits", "lotus"))
    assert cats.objective.real_label == 0.9
    assert cats.optimiser.generator_lr != cats.optimiser.critic_lr
    assert cats.critic.norm == "batch"
    assert digits.kimg * 1000 / digits.batch == 10_000
    assert digits.critic.dropout > 0
    assert lotus.objective.name == "wgan-gp"
    assert lotus.objective.penalty == 10
    assert lotus.kimg * 1000 / 68 / 3000 == 3  # stages
    assert lotus.kimg - lotus.double_batch_kimg == lotus.kimg / 3


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_makes_about_a_timelapse_of_pictures_and_no_flood_of_snapshots(name: str) -> None:
    recipe = recipes.load(name)
    pictures = recipe.kimg * 1000 / recipe.picture_images()
    assert pictures > 30
    # The articles make a picture every ten batches (cats), and a frame every twenty (digits).
    assert name in ("cats", "digits") or pictures <= FRAMES
    for photos in (16, 5153, 60_000):
        assert 8 <= recipe.kimg * 1000 / recipe.snapshot_images(photos) <= 100


def test_pictures_and_snapshots_are_counted_in_images_batches_or_epochs() -> None:
    recipe = recipes.load("cats", ["picture_batches=3", "snapshot_epochs=2"])
    assert (recipe.picture_images(), recipe.snapshot_images(5000)) == (3 * 64, 10_000)
    plain = recipes.load("cats", ["picture_batches=null", "picture_kimg=8", "snapshot_epochs=null"])
    assert (plain.picture_images(), plain.snapshot_images(5000)) == (8000, 50_000)


def test_settings_change_fields_and_none_leaves_them() -> None:
    recipe = recipes.load("digits", ["batch=32", "optimiser.betas=[0, 0.9]"], images__size=56, kimg=None)
    assert (recipe.batch, recipe.optimiser.betas, recipe.images.size) == (32, (0, 0.9), 56)
    assert recipe.kimg == 640


def test_a_recipe_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text((recipes.FOLDER / "digits.yaml").read_text().replace("batch: 64", "batch: 48"))
    assert recipes.load(str(mine)).batch == 48


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("roses", "batch=32", "there is no recipe 'roses'; recipes are cats, "),
        ("digits", "batch", "has no '='"),
        ("digits", "batch=many", "batch: Input should be a valid integer"),
        ("digits", "bach=3", "there is no field bach"),
        ("digits", "batch.size=3", "batch holds no other fields"),
        ("digits", "images.size=30", "sizes are 16, 28, 32"),
        ("digits", "batch=[", "is no YAML value"),
        ("digits", "batch=2026-13-13", "is no YAML value"),
        ("digits", "kimg=.inf", "kimg: Input should be a finite number"),
        ("cats", "objective.penalty=10", "set critic.norm=none"),
        ("digits-best", "batch=12", "multiple of 8"),
        ("cats", "picture_kimg=5", "picture_kimg and picture_batches say the same .* set picture_batches=null"),
        ("cats", "snapshot_kimg=5", "set snapshot_epochs=null"),
    ],
)
def test_a_wrong_choice_is_refused_in_words(name: str, setting: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        recipes.load(name, [setting])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no recipe: it must hold fields"),
        (b"- a list", "is no recipe: it must hold fields"),
        (b"batch: [}\nkimg: 3", "cannot be read as YAML"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=words) as refused:
        recipes.load(str(file), ["batch=8"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "settings", "size", "penalty"),
    [
        ("lotus-best", [], 128, 0.8),  # as it is written
        ("lotus-best", [], 64, 0.2),  # R1 follows the square of the size
        ("lotus-best", ["images.size=256"], None, 3.2),
        ("lotus-best", ["objective.penalty=3"], 64, 3.0),  # said is said
        ("emoji-best", [], 128, 0.8),  # R1 and R2
        ("lotus", [], 64, 10.0),  # WGAN-GP's gradient has a norm of 1 at every size
    ],
)
def test_the_penalty_follows_the_size(name: str, settings: list[str], size: int | None, penalty: float) -> None:
    assert recipes.load(name, settings, images__size=size).objective.penalty == penalty
