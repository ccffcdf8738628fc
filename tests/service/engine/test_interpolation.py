from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine import interpolation, latents
from service.engine.interpolation import PATHS, linear, slerp

A, B = latents.from_seed(1, 64), latents.from_seed(2, 64)
Path = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def angles(path: np.ndarray) -> np.ndarray:
    units = path.astype(float) / np.linalg.norm(path.astype(float), axis=1, keepdims=True)
    return np.arccos(np.clip((units[1:] * units[:-1]).sum(1), -1, 1))


@pytest.mark.parametrize("path", PATHS.values())
@pytest.mark.parametrize("steps", [2, 3, 64])
def test_the_ends_are_exact(path: Path, steps: int) -> None:
    made = path(A, B, steps)
    assert (made.shape, made.dtype) == ((steps, 64), np.float32)
    np.testing.assert_array_equal(made[[0, -1]], [A, B])


@pytest.mark.parametrize("path", PATHS.values())
def test_the_way_back_is_the_way_reversed(path: Path) -> None:
    np.testing.assert_allclose(path(A, B, 9), path(B, A, 9)[::-1], atol=1e-5)


def test_a_quarter_circle_is_what_the_textbook_says() -> None:
    x, y = np.eye(2, dtype=np.float32)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(slerp(x, y, 3)[1], [half, half], rtol=1e-6)
    np.testing.assert_allclose(linear(x, y, 3)[1], [0.5, 0.5], rtol=1e-6)


def test_slerp_turns_by_equal_angles_and_changes_its_length_evenly() -> None:
    path = slerp(A, 3 * B, 17)
    np.testing.assert_allclose(angles(path), angles(np.stack([A, B]))[0] / 16, rtol=1e-4)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(np.diff(lengths), (lengths[-1] - lengths[0]) / 16, rtol=1e-3)


def test_linear_takes_equal_steps_on_a_line() -> None:
    np.testing.assert_allclose(np.diff(linear(A, B, 11), axis=0), np.tile((B - A) / 10, (10, 1)), atol=1e-6)


def test_opposite_latents_are_joined_around_the_sphere() -> None:
    path = slerp(A, -A, 9)
    np.testing.assert_allclose(angles(path), np.pi / 8, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), np.linalg.norm(A), rtol=1e-5)
    np.testing.assert_array_equal(path, slerp(A, -A, 9))


@pytest.mark.parametrize(
    ("start", "end"), [(A, A), (A, 2 * A), (A, 0 * A), (0 * A, B), (0 * A, 0 * A), (A[:1], -A[:1])]
)
def test_where_there_is_no_angle_the_way_is_straight(start: np.ndarray, end: np.ndarray) -> None:
    np.testing.assert_allclose(slerp(start, end, 7), linear(start, end, 7), atol=1e-6)


numbers = st.floats(-1000, 1000, width=32)


@given(start=st.lists(numbers, min_size=3, max_size=3), end=st.lists(numbers, min_size=3, max_size=3))
def test_no_latents_break_it(start: list[float], end: list[float]) -> None:
    path = slerp(np.array(start, np.float32), np.array(end, np.float32), 5)
    assert np.isfinite(path).all()
    longest = max(np.linalg.norm(start), np.linalg.norm(end))
    assert np.linalg.norm(path.astype(float), axis=1).max() <= longest * 1.001 + 1e-6


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("points", range(2, 9))
@pytest.mark.parametrize("steps", [8, 9, 16, 48, 64])
def test_a_walk_passes_every_point_at_a_frame_of_its_own(points: int, steps: int, loop: bool) -> None:
    given = [np.random.default_rng(i).normal(size=6).astype(np.float32) for i in range(points)]
    at = interpolation.places(points, steps, loop)
    assert at[0] == 0
    assert len(set(at)) == points
    assert at[-1] < steps if loop else at[-1] == steps - 1
    frames = interpolation.through(given, steps, "slerp", loop)
    assert frames.shape == (steps, 6)
    np.testing.assert_array_equal(frames[at], given)
    there_and_back = loop and points == 2
    assert there_and_back or len(np.unique(frames, axis=0)) == steps


def test_a_walk_between_two_points_is_the_path() -> None:
    start, end = (np.random.default_rng(i).normal(size=6).astype(np.float32) for i in range(2))
    for name, path in interpolation.PATHS.items():
        np.testing.assert_array_equal(interpolation.through([start, end], 7, name), path(start, end, 7))


def test_a_loop_of_two_points_goes_there_and_back() -> None:
    ends = [np.random.default_rng(i).normal(size=6).astype(np.float32) for i in range(2)]
    frames = interpolation.through(ends, 8, "slerp", loop=True)
    np.testing.assert_allclose(frames[1:4], frames[:4:-1], rtol=1e-5, atol=1e-6)
