"""``--recipe auto``: chooses a recipe by the number, colour and size of the images, and by the budget."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from training import images
from training.errors import InputError

NAME = "auto"
MINUTES = 15.0  # the budget where none is given: photos-best shows shapes and colours by then
PEEKED = 64  # images that are looked at, of all
MOST_GREY = 8  # levels between the channels of a grey image that was saved in colour
SMALL = 48  # pixels: below, images are drawings of the size of MNIST's, and 64 pixels would be four times too many
MANY, FEW = 1500, 300  # images
LONG = 45.0  # minutes
PRETRAINED = Path(__file__).parent / "pretrained" / "emoji.safetensors"  # MIT: the notice is beside it
WIDTHS = {"generator__width": 24, "critic__width": 24}  # of those networks

OTHERS = {  # the two nearest others of each, and what they are for
    "digits-classes": ("digits-best (32×32, larger networks)", "letters-best (64×64)"),
    "letters-best": ("digits-classes (28×28)", "photos-best (colour, mirrors images)"),
    "digits-best": ("digits (the article's, 28×28)", "photos-best (64×64)"),
    "photos-best": ("cats-best (thousands of photos, an hour)", "lotus-best (a few dozen photos, an hour, 128×128)"),
    "cats-best": ("photos-best (a quarter of an hour)", "lotus-best (a few dozen photos, an hour, 128×128)"),
    "lotus-best": ("photos-best (a quarter of an hour, 64×64)", "cats-best (thousands of photos, 64×64)"),
    "emoji-best": ("photos-best (mirrors images)", "lotus-best (an hour, 128×128)"),
}


@dataclass(frozen=True)
class Look:
    """What the images of a source are like."""

    count: int
    grey: bool
    cut_out: bool  # transparent around their subject, as icons and emoji are
    side: int  # the median of their shorter sides, in pixels

    def __str__(self) -> str:
        kind = "grey images" if self.grey else "cut-out images" if self.cut_out else "colour images"
        return f"{self.count:,} {kind} of about {self.side} pixels"


@dataclass(frozen=True)
class Choice:
    """A recipe, the fields that are changed for these images, and the sentence that says why."""

    recipe: str
    fields: dict[str, Any]
    sentence: str
    init_from: Path | None = None  # weights to start from


def look(source: Path) -> Look:
    """Look at a sample of the images of a source; raises InputError where it has none."""
    entries = images.read_entries(source)
    some = []
    for entry in entries[:: math.ceil(len(entries) / PEEKED)]:
        with suppress(Exception):  # images.read() lists the damaged files, and says why
            image = entry.open()
            image.load()
            some.append(image)
    if not some:
        raise InputError(f"{source} has no usable image")
    return Look(
        len(entries),
        grey=_most(_is_grey(image) for image in some),
        cut_out=_most(_is_cut_out(image) for image in some),
        side=round(median(min(image.size) for image in some)),
    )


def choose(seen: Look, minutes: float | None, *, classes: bool = False, as_it_is: bool = True) -> Choice:
    """Choose a recipe.

    Args:
        seen: what the images are like.
        minutes: the budget; None where it is given in images.
        classes: whether they have classes.
        as_it_is: whether nobody changes the recipe, or names other weights to start from.
    """
    if seen.grey and classes:
        name, fields = "digits-classes" if seen.side < SMALL else "letters-best", dict[str, Any]()
    else:
        name, fields = _choose(seen, minutes)
    budget = f" and {minutes:g} minutes" if minutes else ""
    one, other = OTHERS[name]
    of_classes = " with classes" if classes else ""
    sentence = f"recipe {name}, chosen for {seen}{of_classes}{budget}; the nearest others are {one} and {other}"
    if name == "photos-best" and as_it_is and not fields and not classes:  # docs/experiments.md, rows 021, 023
        sentence += "; it starts from the weights of the shipped emoji, from which photos take shape sooner"
        return Choice(name, WIDTHS, sentence, PRETRAINED)
    return Choice(name, fields, sentence)


def _choose(seen: Look, minutes: float | None) -> tuple[str, dict[str, Any]]:
    if seen.grey:
        return ("digits-best", {}) if seen.side < SMALL else ("photos-best", {"images__channels": 1})
    size = {"images__size": 32} if seen.side < SMALL else {}
    if seen.cut_out:
        return "emoji-best", size
    if seen.count >= MANY and (minutes or 0) >= LONG:
        return "cats-best", size
    if seen.count <= FEW and (minutes or 0) >= LONG and seen.side >= 128:
        return "lotus-best", {}
    return "photos-best", size


def _most(flags: Iterable[bool]) -> bool:
    found = list(flags)
    return sum(found) * 10 >= len(found) * 9


def _is_grey(image: Image.Image) -> bool:
    if image.mode.startswith(("1", "L", "I", "F")):
        return True
    pixels = np.asarray(image.convert("RGB").resize((32, 32)), np.int16)  # (32, 32, 3)
    return int(np.ptp(pixels, axis=2).max()) <= MOST_GREY


def _is_cut_out(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return not alpha[[0, 0, -1, -1], [0, -1, 0, -1]].any()  # the four corners
