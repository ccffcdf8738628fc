import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.one_hand import agreement, measure, measure_all, read_fonts
from training.errors import InputError
from training.images import Pixels

LETTERS = "IHV"


def bar(thickness: int, lean: int, letter: str = "I") -> Image.Image:
    """A letter of slanted bars."""
    image = Image.new("L", (64, 64))
    pen = ImageDraw.Draw(image)
    places = {"I": (32,), "H": (20, 44), "V": (24, 32, 40)}[letter]
    for x in places:
        pen.line([(x - lean, 56), (x + lean, 8)], fill=255, width=thickness)
    return image


def hands(number: int = 12) -> list[tuple[int, int]]:
    random = np.random.RandomState(0)
    return [(int(random.randint(2, 9)), int(random.randint(-8, 9))) for _ in range(number)]


def test_weight_slant_and_width_are_those_of_the_ink() -> None:
    def of(*bars: Image.Image) -> Pixels:
        return np.stack([np.asarray(image) for image in bars])

    thin, thick, leaning, wide = measure(of(bar(2, 0), bar(8, 0), bar(4, 8), bar(4, 0, "H")))
    assert thick[0] > 3 * thin[0]
    assert thin[1] == pytest.approx(0, abs=0.01)
    assert leaning[1] == pytest.approx(16 / 48, abs=0.05)
    assert wide[2] == pytest.approx(12, abs=1)


def test_letters_of_one_hand_agree_and_shuffled_ones_do_not() -> None:
    drawn = np.stack([[np.asarray(bar(*hand, letter)) for letter in LETTERS] for hand in hands(40)])
    weight, slant, _ = measure_all(drawn)
    assert agreement(weight) > 0.9
    assert agreement(slant) > 0.9
    random = np.random.RandomState(0)
    shuffled = np.stack([random.permutation(letter) for letter in slant.T], axis=1)
    assert abs(agreement(shuffled)) < 0.3


@pytest.mark.parametrize("packed", [False, True])
def test_fonts_are_found_by_their_names_in_the_folders_of_letters(tmp_path: Path, packed: bool) -> None:
    source = tmp_path / "letters.zip" if packed else tmp_path
    files = {f"{letter}/font{i}.png": bar(*hand, letter) for letter in LETTERS for i, hand in enumerate(hands(3))}
    files["I/other.png"] = bar(1, 1)
    with zipfile.ZipFile(tmp_path / "letters.zip", "w") as archive:
        for name, image in files.items():
            buffer = BytesIO()
            image.save(buffer, "PNG")
            archive.writestr(name, buffer.getvalue())
            (tmp_path / name).parent.mkdir(exist_ok=True)
            image.save(tmp_path / name)
    fonts = read_fonts(source, LETTERS)
    assert fonts.shape == (3, 3, 64, 64)
    np.testing.assert_array_equal(fonts[1, 2], np.asarray(files["V/font1.png"]))
    with pytest.raises(InputError):
        read_fonts(source, "XYZ")
