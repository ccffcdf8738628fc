import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
from PIL import Image

from tests import DIGITS, command_line
from training import auto, transfer
from training import recipe as recipes
from training.__main__ import main
from training.auto import Choice, Look
from training.configure import configure
from training.errors import InputError

PHOTOS = Look(128, grey=False, cut_out=False, side=300)


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
        (Look(128, grey=False, cut_out=False, side=300), 15, "photos-best", auto.WIDTHS),
        (Look(5000, grey=False, cut_out=False, side=300), 15, "photos-best", auto.WIDTHS),
        (Look(5000, grey=False, cut_out=False, side=300), 60, "cats-best", {}),
        (Look(5000, grey=False, cut_out=False, side=32), 60, "cats-best", {"images__size": 32}),
        (Look(85, grey=False, cut_out=False, side=300), 240, "lotus-best", {}),
        (Look(100, grey=False, cut_out=True, side=72), 60, "emoji-best", {}),
        (Look(128, grey=False, cut_out=False, side=300), None, "photos-best", auto.WIDTHS),
    ],
)
def test_the_recipe_follows_number_colour_size_and_budget(
    seen: Look, minutes: float | None, recipe: str, fields: dict[str, int]
) -> None:
    choice = auto.choose(seen, minutes)
    assert (choice.recipe, choice.fields) == (recipe, fields)
    recipes.load(choice.recipe, **choice.fields)  # they fit together


def test_photos_start_from_weights_that_fit() -> None:
    choice = auto.choose(PHOTOS, 15)
    assert choice.init_from == auto.PRETRAINED
    told = transfer.describe(transfer.read(auto.PRETRAINED), recipes.load(choice.recipe, **choice.fields))
    assert told.count("1,381,083 of 1,381,083") == told.count("725,353 of 725,353") == 1
    for other in ({"as_it_is": False}, {"classes": True}):
        assert auto.choose(PHOTOS, 15, **other) == Choice("photos-best", {}, ANY)
    for seen in (replace(PHOTOS, cut_out=True), replace(PHOTOS, grey=True), replace(PHOTOS, side=32)):
        assert auto.choose(seen, 15).init_from is None


@pytest.mark.parametrize(
    ("settings", "size", "init_from", "wanted"),
    [
        ([], None, None, (24, auto.PRETRAINED)),
        ([], None, Path("mine"), (16, Path("mine"))),
        ([], 32, None, (16, None)),
        (["batch=8"], None, None, (16, None)),
    ],
)
def test_what_a_user_says_decides_over_the_weights(
    tmp_path: Path, settings: list[str], size: int | None, init_from: Path | None, wanted: tuple[int, Path | None]
) -> None:
    photos, fields = folder_of(tmp_path / "photos", "RGB", 80), {"images__size": size}
    said: list[str] = []
    config, found = configure(
        photos, "auto", settings, fields,
        minutes=15, classes=None, seed=0, device="cpu", init_from=init_from, say=said.append,
    )  # fmt: skip
    assert (config.recipe.generator.width, found) == wanted
    assert ("weights" in said[0]) == (found == auto.PRETRAINED)


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
