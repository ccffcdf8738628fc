import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import DIGITS, command_line
from training import auto, transfer
from training import recipe as recipes
from training.__main__ import main
from training.auto import Look
from training.errors import InputError


def folder_of(path: Path, mode: str, side: int, count: int = 20) -> Path:
    """A folder of noise; RGBA is transparent in its corners."""
    path.mkdir()
    random = np.random.default_rng(0)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    for i in range(count):
        pixels = random.integers(0, 256, (side, side + i, *channels), np.uint8)
        if mode == "RGBA":
            pixels[[0, 0, -1, -1], [0, -1, 0, -1], 3] = 0
        Image.fromarray(pixels, mode).save(path / f"{i}.png")
    return path


@pytest.mark.parametrize(
    ("mode", "side", "seen"),
    [
        ("RGB", 100, Look(20, grey=False, cut_out=False, side=100)),
        ("L", 30, Look(20, grey=True, cut_out=False, side=30)),
        ("RGBA", 64, Look(20, grey=False, cut_out=True, side=64)),
    ],
)
def test_a_source_is_looked_at(tmp_path: Path, mode: str, side: int, seen: Look) -> None:
    assert auto.look(folder_of(tmp_path / "images", mode, side)) == seen


def test_grey_images_that_were_saved_in_colour_are_grey(tmp_path: Path) -> None:
    grey = Image.effect_noise((64, 64), 50)
    for i in range(16):
        grey.convert("RGB").save(tmp_path / f"{i}.jpg")
    assert auto.look(tmp_path).grey


def test_mnist_is_grey_and_small() -> None:
    assert auto.look(DIGITS) == Look(400, grey=True, cut_out=False, side=28)


def test_a_folder_without_images_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"holds no images; they end in .*\.png"):
        auto.look(tmp_path)


@pytest.mark.parametrize(
    ("seen", "minutes", "recipe", "fields"),
    [
        (Look(60_000, grey=True, cut_out=False, side=28), 15, "digits-best", {}),
        (Look(500, grey=True, cut_out=False, side=400), 15, "photos-best", {"images__channels": 1}),
        (Look(128, grey=False, cut_out=False, side=300), 15, "photos-best", {}),
        (Look(5000, grey=False, cut_out=False, side=300), 15, "photos-best", {}),
        (Look(5000, grey=False, cut_out=False, side=300), 60, "cats-best", {}),
        (Look(5000, grey=False, cut_out=False, side=32), 60, "cats-best", {"images__size": 32}),
        (Look(85, grey=False, cut_out=False, side=300), 240, "lotus-best", {}),
        (Look(100, grey=False, cut_out=True, side=72), 60, "emoji-best", {}),
        (Look(128, grey=False, cut_out=False, side=300), None, "photos-best", {}),
    ],
)
def test_the_recipe_follows_number_colour_size_and_budget(
    seen: Look, minutes: float | None, recipe: str, fields: dict[str, int]
) -> None:
    choice = auto.choose(seen, minutes)
    assert (choice.recipe, choice.fields) == (recipe, fields)
    recipes.load(choice.recipe, **choice.fields)  # they fit together


def test_photos_are_offered_the_weights_of_the_cats_where_they_are_and_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, icons = Look(128, grey=False, cut_out=False, side=300), Look(128, grey=False, cut_out=True, side=300)
    monkeypatch.chdir(Path(__file__).parents[2])
    choice = auto.choose(photos, 15)
    widths = re.findall(r"--set (\S+)", choice.sentence)
    assert f"--init-from {auto.CATS}" in choice.sentence
    assert "--init-from" not in auto.choose(icons, 15).sentence
    weights = transfer.read(auto.CATS)
    told = transfer.describe(weights, recipes.load(choice.recipe, widths))
    assert told.count("1,381,083 of 1,381,083") == told.count("725,353 of 725,353") == 1
    monkeypatch.chdir(tmp_path)
    assert "--init-from" not in auto.choose(photos, 15).sentence


def test_every_recipe_that_is_chosen_names_two_others_that_exist() -> None:
    for name, others in auto.OTHERS.items():
        assert {name, *(other.split()[0] for other in others)} <= set(recipes.names())
        assert len(others) == 2


def test_without_a_recipe_photos_are_not_trained_as_digits(tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "photos", "RGB", 80)
    planned = command_line.run(main, "train", "--data", photos, "--dry-run", "--size", 16)
    assert planned.returncode == 0, planned.stderr
    sentence, *_ = planned.stdout.splitlines()
    assert sentence.startswith("recipe photos-best, chosen for 20 colour images of about 80 pixels and 15 minutes;")
    config = json.loads(planned.stdout[planned.stdout.index("{") : planned.stdout.rindex("}") + 1])
    assert (config["name"], config["minutes"], config["recipe"]["images"]["channels"]) == ("photos-best", 15, 3)


@pytest.mark.parametrize(("side", "recipe"), [(28, "digits-classes"), (64, "letters-best")])
def test_grey_images_with_classes_have_recipes_of_their_own(side: int, recipe: str) -> None:
    seen = Look(400, grey=True, cut_out=False, side=side)
    assert auto.choose(seen, 15, classes=True).recipe == recipe
    assert auto.choose(seen, 15).recipe != recipe
