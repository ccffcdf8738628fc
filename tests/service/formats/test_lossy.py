import io
import json

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
    image = read(lossy.encode(lossy.WEBP, smooth(channels), TEXTS))
    np.testing.assert_array_equal(np.asarray(image), np.broadcast_to(smooth(channels), (24, 20, 3)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_jpeg_has_the_pixels_but_for_a_few_levels(channels: int, mode: str) -> None:
    image = read(lossy.encode(lossy.JPEG, smooth(channels), TEXTS))
    assert image.mode == mode
    difference = np.asarray(image, int).reshape(24, 20, channels) - smooth(channels)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("how", [lossy.WEBP, lossy.JPEG])
def test_a_reader_finds_how_to_make_the_picture_again(how: dict[str, object]) -> None:
    image = read(lossy.encode(how, smooth(3), TEXTS))
    assert json.loads(image.getexif()[ExifTags.Base.ImageDescription]) == TEXTS


def test_what_a_format_cannot_hold_is_refused_in_a_sentence_for_a_client() -> None:
    with pytest.raises(lossy.TooLargeError, match="at most 16383 pixels a side; ask for fewer"):
        lossy.encode(lossy.WEBP, np.zeros((1, 2**14, 1), np.uint8), TEXTS)
