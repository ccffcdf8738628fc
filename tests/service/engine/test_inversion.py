import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.inversion import DECIMALS, HELD, average, invert, on_shell

MIXING = np.random.default_rng(0).normal(size=(8, 16 * 16 * 3)) * 20
drawn: list[int] = []


def draw(latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw smooth images of 8 numbers: a generator that can be inverted."""
    drawn.append(len(latents))
    levels = 127.5 + 127.5 * np.tanh(latents @ MIXING / 128)
    return levels.round().astype(np.uint8).reshape(-1, 16, 16, 3)


def latent(seed: int) -> NDArray[np.float32]:
    return np.random.RandomState(seed).randn(8).astype(np.float32)


def away(given: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(on_shell(given) - on_shell(other)))


@pytest.mark.parametrize("seed", range(3))
def test_steps_lead_from_an_estimate_to_the_latent_of_an_image(seed: int) -> None:
    estimate = on_shell(latent(seed) + 0.5 * latent(9))
    found = invert(draw(latent(seed)[None])[0], estimate, draw, 8)
    assert found.steps > 0
    assert away(found.latent, latent(seed)) < 0.75 * away(estimate, latent(seed))
    assert found.distance < invert(draw(latent(seed)[None])[0], estimate, draw, 0).distance


def test_of_a_picture_that_cannot_be_drawn_the_latent_stays_near_the_estimate() -> None:
    white = np.full((16, 16, 3), 255, np.uint8)
    found = invert(white, latent(3), draw, 8)
    assert found.steps > 0
    assert away(found.latent, latent(3)) < 2  # of √8, the shell's radius: another latent is 4 away, on average


def test_the_image_is_what_the_latent_draws_and_the_latent_is_short_text() -> None:
    found = invert(draw(latent(0)[None])[0], latent(1), draw, 3)
    assert np.array_equal(draw(found.latent[None])[0], found.image)
    assert np.array_equal(np.array([round(float(one), DECIMALS) for one in found.latent], np.float32), found.latent)


def test_a_step_draws_as_many_images_as_the_latent_has_numbers_and_a_few() -> None:
    drawn.clear()
    invert(draw(latent(0)[None])[0], latent(1), draw, 1)
    assert drawn == [1, 1, 8, 5]


def test_without_steps_the_start_is_drawn() -> None:
    found = invert(draw(latent(0)[None])[0], latent(1), draw, 0)
    assert (found.steps, found.latent.tolist()) == (0, on_shell(latent(1)).tolist())


def test_what_cannot_be_drawn_leaves_a_latent_of_the_length_of_normal_ones() -> None:
    found = invert(np.full((16, 16, 3), 255, np.uint8), latent(9), draw, 8)
    assert np.linalg.norm(found.latent) == pytest.approx(8**0.5, abs=0.001)


@pytest.mark.parametrize(("height", "width", "size"), [(64, 64, 1024), (28, 28, 784), (24, 20, 480), (100, 64, 0)])
def test_large_images_are_averaged(height: int, width: int, size: int) -> None:
    images = np.full((2, height, width, 3), 7, np.uint8)
    found = average(images)
    assert found.shape[1] == (size or found.shape[1] // 3) * 3
    assert (found == 7).all()


@pytest.mark.parametrize("side", [500, 512])
def test_the_images_of_a_step_are_not_held_all_at_once(side: int) -> None:
    """128 of 500 by 500 pixels are 96 MB, and eight times as much in float64."""
    picture = np.zeros((side, side, 3), np.uint8)

    def draw(latents: np.ndarray) -> np.ndarray:
        return np.zeros((len(latents), side, side, 3), np.uint8)

    tracemalloc.start()
    try:
        invert(picture, np.ones(128, np.float32), draw, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * HELD


@pytest.mark.parametrize(("side", "blocks"), [(8, 8), (32, 32), (63, 63), (64, 32), (100, 33), (1000, 32)])
def test_a_picture_of_any_size_is_compared_by_few_blocks(side: int, blocks: int) -> None:
    images = np.full((2, side, side, 3), 7, np.uint8)
    averaged = average(images)
    assert averaged.shape == (2, blocks * blocks * 3)
    assert (averaged == 7).all()
