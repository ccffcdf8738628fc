import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image

from service.formats import lossy

TEXTS = {"model": "digits", "version": "3", "truncation": "0.7", "seed": "42"}


def smooth(channels: int) -> np.ndarray:
    ramp = np.linspace(0, 255, 24 * 20 * channels).astype(np.uint8)
    return ramp.reshape(24, 20, channels)


def read(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_has_the_very_pixels(channels: int) -> None:
    image = read(lossy.webp(smooth(channels), TEXTS))
    np.testing.assert_array_equal(np.asarray(image), np.broadcast_to(smooth(channels), (24, 20, 3)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_jpeg_has_the_pixels_but_for_a_few_levels(channels: int, mode: str) -> None:
    image = read(lossy.jpeg(smooth(channels), TEXTS))
    assert image.mode == mode
    difference = np.asarray(image, int).reshape(24, 20, channels) - smooth(channels)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("encode", [lossy.webp, lossy.jpeg])
def test_a_reader_finds_how_to_make_the_picture_again(encode: Callable[[np.ndarray, dict[str, str]], bytes]) -> None:
    image = read(encode(smooth(3), TEXTS))
    assert json.loads(image.getexif()[ExifTags.Base.ImageDescription]) == TEXTS


@pytest.mark.parametrize(("encode", "side"), [(lossy.webp, lossy.MAX_WEBP_SIDE), (lossy.jpeg, lossy.MAX_JPEG_SIDE)])
def test_a_format_encodes_its_largest_side_and_no_more(
    encode: Callable[[np.ndarray, dict[str, str]], bytes], side: int
) -> None:
    assert read(encode(np.zeros((1, side, 1), np.uint8), TEXTS)).size == (side, 1)
    with pytest.raises((OSError, ValueError)):
        encode(np.zeros((1, side + 1, 1), np.uint8), TEXTS)
