import io
import json

import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.formats import gif, metadata

TEXTS = {"model": "cats", "class": "猫", "walk": "x" * 600}


def frames(channels: int, count: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 24, 20, channels), np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_plays_its_frames_for_so_long_again_and_again(channels: int) -> None:
    images = frames(channels)
    data = gif.join([gif.frame(image) for image in images], TEXTS, 127)
    with Image.open(io.BytesIO(data)) as movie:
        assert (movie.format, movie.size, movie.n_frames) == ("GIF", (20, 24), 3)
        assert (movie.info["duration"], movie.info["loop"]) == (130, 0)
        assert json.loads(movie.info["comment"]) == TEXTS
        shown = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(movie)]
    for image, one in zip(images, shown, strict=True):
        assert np.abs(one - image).mean() < (1 if channels == 1 else 25)  # of noise, which has 480 colours


def test_a_gif_says_that_a_machine_made_it() -> None:
    data = gif.join([gif.frame(image) for image in frames(3)], TEXTS, 50)
    assert data.count(metadata.XMP_PACKET) == 1
    with Image.open(io.BytesIO(data)) as movie:  # for which what follows the XMP is where it should be
        assert movie.n_frames == 3


@pytest.mark.parametrize("side", [64, 128, 129, 512])
def test_the_palette_of_a_large_frame_is_made_from_a_small_one(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, quantize = [], Image.Image.quantize

    def noted(image: Image.Image, *arguments: object, **options: object) -> Image.Image:
        counted.append(image.width if "palette" not in options else 0)
        return quantize(image, *arguments, **options)

    monkeypatch.setattr(Image.Image, "quantize", noted)
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 255 - ramp[:, None]), axis=-1)
    made = gif.frame(image)
    assert max(counted) <= gif.PALETTE_SIDE
    assert made.size == (side, side)
    assert np.abs(np.asarray(made.convert("RGB")).astype(int) - image).mean() < 8


def test_no_frame_is_faster_than_browsers_play() -> None:
    data = gif.join([gif.frame(image) for image in frames(1)], {}, 1)
    with Image.open(io.BytesIO(data)) as movie:
        assert movie.info["duration"] == gif.FASTEST
