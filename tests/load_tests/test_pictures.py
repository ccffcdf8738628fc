import io
import zipfile

import pytest
from PIL import Image

from load_tests.pictures import REMEMBERED, Pictures


def png(level: int = 0, size: tuple[int, int] = (4, 3), compress: int = 6) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, level).save(file, "png", compress_level=compress)
    return file.getvalue()


def archive(*pngs: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for i, data in enumerate(pngs):
            opened.writestr(f"{i}.png", data)
    return file.getvalue()


@pytest.fixture
def pictures() -> Pictures:
    return Pictures(4, 3)


def test_the_same_picture_is_right_again_and_again(pictures: Pictures) -> None:
    assert [pictures.png("a@1", 1, png()) for _ in range(3)] == [None] * 3
    assert pictures.png("a@1", 2, png(9)) is None
    assert pictures.png("a@2", 1, png(9)) is None
    assert pictures.archive("a@1", 1, 2, archive(png(), png(9))) is None
    assert pictures.pixels("a@1", 1, png(compress=0)) is None


def test_another_one_for_the_same_seed_is_wrong(pictures: Pictures) -> None:
    pictures.png("a@1", 1, png())
    assert pictures.png("a@1", 1, png(9)) == "seed 1 of a@1 has other bytes than before"
    assert pictures.png("a@1", 1, png(compress=0)) == "seed 1 of a@1 has other bytes than before"
    assert pictures.pixels("a@1", 1, png(9)) == "seed 1 of a@1 has other pixels than before"
    assert pictures.archive("a@1", 0, 2, archive(png(), png(9))) == "seed 1 of a@1 has other bytes than before"


def test_a_damaged_image_or_one_of_another_size_is_wrong(pictures: Pictures) -> None:
    assert "no picture" in (pictures.png("a@1", 1, b"no PNG") or "")
    assert "no picture" in (pictures.png("a@1", 2, png()[:-30]) or "")
    assert "(5, 3)" in (pictures.png("a@1", 3, png(size=(5, 3))) or "")
    assert "no zip" in (pictures.archive("a@1", 4, 1, b"PK") or "")
    assert pictures.archive("a@1", 5, 2, archive(png())) == "1 pictures in place of 2"


def test_it_does_not_remember_without_end(pictures: Pictures) -> None:
    for seed in range(REMEMBERED, REMEMBERED + 10):
        assert pictures.png("a@1", seed, png()) is None
    assert not pictures._digests
