import numpy as np
import pytest
import torch

from training.images import Pixels
from training.metrics.wasserstein import SlicedWasserstein, laplacian


def noise(seed: int = 0, low: int = 64, high: int = 192) -> Pixels:
    return np.random.default_rng(seed).integers(low, high, (200, 3, 32, 32), dtype=np.uint8)


def test_the_distance_is_zero_to_itself_small_to_similar_images_and_grows_with_a_shift() -> None:
    measure = SlicedWasserstein(noise())
    own, like, shifted, further = (
        measure(images)["swd"] for images in (noise(), noise(1), noise(1) + np.uint8(20), noise(1) + np.uint8(40))
    )
    assert own == 0
    assert like < 40 < shifted < further


def test_the_distance_of_a_constant_shift_is_its_closed_form() -> None:
    """Grey images that differ by a constant: at the coarsest level patches move by (c, …, c) / deviation."""
    grey = noise()[:, :1, :16, :16]
    shift = 20 / 127.5 / float((torch.from_numpy(grey).float() / 127.5).std())
    expected = 1000 * shift * np.sqrt(2 / np.pi)  # E|<(1, …, 1), direction>| of 49 ones is nearly that of a normal
    assert SlicedWasserstein(grey)(grey + np.uint8(20))["swd-16"] == pytest.approx(expected, rel=0.15)


def test_fine_detail_changes_only_the_finest_level() -> None:
    smooth = np.repeat(np.repeat(noise()[:, :, ::4, ::4], 4, axis=2), 4, axis=3)
    checks = (np.indices((32, 32)).sum(axis=0) % 2 * 16).astype(np.uint8)  # 0 and 16, in turn
    distances = SlicedWasserstein(smooth + np.uint8(8))(smooth + checks)
    assert distances["swd-32"] > 3 * distances["swd-16"]


@pytest.mark.parametrize(("size", "levels"), [(16, [16]), (28, [28]), (30, [30]), (64, [64, 32, 16]), (56, [56, 28])])
def test_the_pyramid_halves_to_16_pixels(size: int, levels: list[int]) -> None:
    images = np.zeros((2, 1, size, size), np.uint8)
    assert list(SlicedWasserstein(images)(images)) == ["swd", *(f"swd-{level}" for level in levels)]


def test_the_levels_of_a_pyramid_add_up_to_the_image() -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    flat = torch.full((1, 1, 32, 32), 0.5)
    torch.testing.assert_close(laplacian(flat, 0, last=False)[..., 2:-2, 2:-2], torch.zeros(1, 1, 28, 28))
    torch.testing.assert_close(laplacian(images, 0, last=True), images)
    assert laplacian(images, 1, last=False).shape == (2, 3, 16, 16)
