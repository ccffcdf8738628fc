import io

import numpy as np
from PIL import Image

from training.pictures import animation, evenly_spaced


def test_thinning_keeps_the_ends_and_spaces_the_rest_evenly() -> None:
    assert evenly_spaced(range(101), 5) == [0, 25, 50, 75, 100]
    assert evenly_spaced("abc", 5) == ["a", "b", "c"]


def frames(number: int) -> list[Image.Image]:
    return [Image.fromarray(np.full((600, 600), i * 20, np.uint8)) for i in range(number)]


def test_an_animation_holds_every_frame_within_its_measures() -> None:
    film = Image.open(io.BytesIO(animation(frames(6))))
    assert (film.format, film.n_frames, film.size) == ("WEBP", 6, (512, 512))


def test_an_animation_that_grows_too_large_loses_frames_in_between() -> None:
    noise = [Image.fromarray(pixels) for pixels in np.random.default_rng(0).integers(0, 256, (16, 64, 64), np.uint8)]
    whole = animation(noise)
    film = animation(noise, limit=len(whole) // 3)
    assert len(film) <= len(whole) // 3
    assert 2 <= Image.open(io.BytesIO(film)).n_frames < 6
