import numpy as np
import pytest

from training.images import Pixels
from training.metrics.features import random_conv
from training.metrics.memorisation import PAIRS, TrainingSet, picture


def blobs(number: int, seed: int) -> Pixels:
    """Smooth random colour images."""
    small = np.random.default_rng(seed).integers(0, 255, (number, 3, 8, 8), dtype=np.uint8)
    return np.repeat(np.repeat(small, 4, axis=2), 4, axis=3)


def test_planted_copies_are_found_and_named() -> None:
    training = TrainingSet(blobs(100, 0), mirror=False)
    samples = blobs(40, 1)
    samples[:10] = training.images[30:40]
    matches = training.match(samples)
    assert matches.indices[:10].tolist() == list(range(30, 40))
    assert matches.figures()["copies"] == pytest.approx(0.25)
    assert matches.relative[:10].max() < 0.05
    assert matches.relative[10:].min() > 0.6


def test_a_copy_with_noise_or_shifted_by_a_pixel_is_found() -> None:
    training = TrainingSet(blobs(100, 0), mirror=False)
    noise = np.random.default_rng(0).integers(0, 20, training.images.shape, dtype=np.uint8)
    for changed in (training.images // 2 + 60 + noise, np.roll(training.images, 1, axis=-1)):
        matches = training.match(changed)
        assert (matches.indices == np.arange(100)).mean() > 0.95


def test_a_mirrored_copy_is_found_if_mirroring_is_on() -> None:
    images = blobs(100, 0)
    mirrored = images[:20, :, :, ::-1].copy()
    assert TrainingSet(images, mirror=True).match(mirrored).figures()["copies"] == 1
    assert TrainingSet(images, mirror=False).match(mirrored).figures()["copies"] == 0


@pytest.mark.parametrize("mirror", [False, True])
def test_a_training_image_is_not_a_copy_of_itself_but_of_its_duplicate(mirror: bool) -> None:
    images = blobs(100, 0)
    images[99] = images[0]
    matches = TrainingSet(images, mirror=mirror).match_own(np.array([0, 1, 2, 3]))
    assert matches.indices[0] == 99
    assert (matches.relative < 0.5).tolist() == [True, False, False, False]


def test_copies_are_found_among_the_features_of_a_network() -> None:
    training = TrainingSet(blobs(100, 0), mirror=False, describe=random_conv(3, 32))
    samples = blobs(40, 1)
    samples[:10] = training.images[30:40] + np.uint8(1)
    matches = training.match(samples)
    assert matches.indices[:10].tolist() == list(range(30, 40))
    assert matches.relative[:10].max() < 0.5 < matches.relative[10:].min()


def test_the_distance_is_in_levels() -> None:
    training = TrainingSet(np.full((20, 1, 16, 16), 100, np.uint8), mirror=False)
    assert training.match(np.full((1, 1, 16, 16), 110, np.uint8)).figures()["nearest"] == pytest.approx(10, rel=0.01)


def test_the_picture_shows_the_closest_pairs_side_by_side() -> None:
    training = TrainingSet(blobs(100, 0), mirror=False)
    samples = blobs(40, 1)
    samples[33] = training.images[7]
    sheet = np.asarray(picture(training.closest(samples, training.match(samples), PAIRS)))
    assert sheet.shape == (4 * 32, 8 * 32, 3)
    planted = training.images[7].transpose(1, 2, 0)
    np.testing.assert_array_equal(sheet[:32, :32], planted)
    np.testing.assert_array_equal(sheet[:32, 32:64], planted)
