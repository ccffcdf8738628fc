import numpy as np
from numpy.typing import NDArray

from training import duplicates


def photos(number: int, seed: int = 0, size: int = 32) -> NDArray[np.uint8]:
    """Smooth random colour images."""
    small = np.random.default_rng(seed).integers(0, 255, (number, 3, 8, 8), dtype=np.uint8)
    return np.repeat(np.repeat(small, size // 8, axis=2), size // 8, axis=3)


def test_an_image_that_is_there_again_is_found_with_the_first_of_its_kind() -> None:
    images = photos(50)
    images[[20, 30]] = images[7]
    assert duplicates.find(images) == {20: 7, 30: 7}


def test_an_image_of_another_quality_is_found() -> None:
    images = photos(600)  # more than a chunk
    noise = np.random.default_rng(1).integers(-4, 5, images[0].shape)
    images[599] = np.clip(images[3] + noise, 0, 255)
    images[598] = images[599]
    assert duplicates.find(images) == {598: 3, 599: 3}


def test_other_images_are_not_alike_and_darker_ones_are_not_either() -> None:
    images = np.concatenate([photos(100) // 2, photos(100) // 2 + 6])
    assert duplicates.find(images) == {}


def test_every_size_that_can_be_trained_has_thumbnails() -> None:
    from training.recipe import SIZES

    for size in SIZES:
        images = np.random.default_rng(0).integers(0, 255, (4, 1, size, size), dtype=np.uint8)
        images[3] = images[0]
        assert duplicates.find(images) == {3: 0}
