import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.formats import apng, png


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [2, 64])
def test_a_reader_gets_the_exact_frames_in_an_endless_loop(channels: int, count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 5, 7, channels), np.uint8)
    images[-1] = images[0]  # equal frames are frames, too
    data = apng.join([png.encode(image) for image in images], 40, png.chunk(b"tEXt", b"key\0text"))
    with Image.open(io.BytesIO(data)) as movie:
        assert (movie.n_frames, movie.info["loop"], movie.text) == (count, 0, {"key": "text"})
        for image, frame in zip(images, ImageSequence.Iterator(movie), strict=True):
            assert frame.info["duration"] == 40
            np.testing.assert_array_equal(np.asarray(frame.convert("RGB")), np.broadcast_to(image, (5, 7, 3)))


def test_a_viewer_without_animation_shows_the_first_frame() -> None:
    first = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
    data = apng.join([png.encode(first), png.encode(first + 100)], 40)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), first[:, :, 0])
