import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.images import Pixels
from training.metrics.artefacts import Artefacts, grid_energy, rim_contrast

SIDE = 64


def smooth(number: int, seed: int = 0, side: int = SIDE) -> Pixels:
    """Smooth random images whose energy falls with the frequency, as in photos."""
    random = np.random.RandomState(seed)
    pictures = []
    for _ in range(number):
        layers = [
            np.asarray(
                Image.fromarray(random.rand(k, k).astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
            )
            / k
            for k in (3, 7, 13, 29)
        ]
        values = sum(layers) + random.randn(side, side) / 100
        pictures.append(255 * (values - values.min()) / np.ptp(values))
    return np.stack(pictures)[:, None].astype(np.uint8)


def board(period: int, side: int = SIDE) -> NDArray[np.float64]:
    """A checkerboard of ±1 that repeats after ``period`` pixels."""
    y, x = np.mgrid[:side, :side] // (period // 2)
    return 1.0 - 2 * ((x + y) % 2)


def added(images: Pixels, pattern: NDArray[np.float64]) -> Pixels:
    return np.clip(images + pattern, 0, 255).astype(np.uint8)


def framed(images: Pixels, width: int) -> Pixels:
    copy = images.copy()
    copy[:, :, :width] = copy[:, :, -width:] = 128
    copy[..., :width] = copy[..., -width:] = 128
    return copy


def test_other_images_of_the_same_kind_score_about_1() -> None:
    figures = Artefacts(smooth(100))(smooth(100, seed=1))
    assert figures == pytest.approx({"grid": 1, "rim": 1}, abs=0.15)


@pytest.mark.parametrize(("period", "amplitude"), [(2, 2), (4, 6), (8, 16)])
def test_a_checkerboard_raises_the_grid_and_not_the_rim(period: int, amplitude: float) -> None:
    images = smooth(50)
    figures = Artefacts(images)(added(images, amplitude * board(period)))
    assert figures["grid"] > 1.5
    assert figures["rim"] < 1.5


def test_the_grid_rises_with_the_checkerboard() -> None:
    images = smooth(50)
    energies = [grid_energy(added(images, amplitude * board(2))) for amplitude in (0, 1, 2, 4)]
    assert energies == sorted(energies)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_grey_frame_raises_the_rim_and_not_the_grid(width: int) -> None:
    images = smooth(50)
    figures = Artefacts(images)(framed(images, width))
    assert figures["rim"] > 2
    assert figures["grid"] < 1.5


def test_white_noise_has_neither_grid_nor_frame() -> None:
    noise = np.random.RandomState(0).randint(0, 256, (200, 3, SIDE, SIDE)).astype(np.uint8)
    assert grid_energy(noise) == pytest.approx(1, abs=0.05)
    assert rim_contrast(noise) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("side", [16, 28, 32, 56, 128])
def test_every_size_has_its_frequencies(side: int) -> None:
    images = smooth(100, side=side)
    assert Artefacts(images)(added(images, 8 * board(2, side)))["grid"] > 1.5


def test_plain_images_do_not_divide_by_zero() -> None:
    plain = np.full((4, 3, SIDE, SIDE), 255, np.uint8)
    assert Artefacts(plain)(plain) == {"grid": 1.0, "rim": 1.0}
