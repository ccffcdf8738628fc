import numpy as np
import pytest

from service.engine.library import Library
from service.engine.requests import Interpolation, RenderRequest

LATENTS = [np.zeros(16, np.float32)] * 3


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (16, 4), (17, 5)])
def test_the_tiling_is_nearly_square(library: Library, count: int, columns: int) -> None:
    assert RenderRequest(library.find("rgb"), seeds=range(count)).columns == columns


def test_the_texts_say_how_to_draw_again(library: Library) -> None:
    request = RenderRequest(library.find("rgb"), 0.7, seeds=(3, 9))
    assert request.texts() == {"model": "rgb", "version": "1", "truncation": "0.7", "seed": "3,9"}
    assert request.texts_of(1) == {"model": "rgb", "version": "1", "truncation": "0.7", "seed": "9"}
    by_latent = RenderRequest(library.find("rgb"), latents=LATENTS)
    assert by_latent.texts() == by_latent.texts_of(0) == {"model": "rgb", "version": "1", "truncation": "1.0"}
    assert by_latent.seed_of(0) is None


@pytest.mark.parametrize(
    ("ends", "title", "seeds", "first_and_last"),
    [
        ((1, 7), "seed0001-to-seed0007", (1, 7), (1, 7)),
        ((1, None), "seed0001-to-latent", (), (1, None)),
        ((0, 0), "seed0000-to-seed0000", (0, 0), (0, 0)),
    ],
)
def test_an_interpolation_is_named_by_its_ends(
    library: Library,
    ends: tuple[int | None, int | None],
    title: str,
    seeds: tuple[int, ...],
    first_and_last: tuple[int | None, int | None],
) -> None:
    request = Interpolation(library.find("rgb"), latents=LATENTS, points=ends)
    assert (request.title(), request.all_seeds(), request.columns) == (title, seeds, 3)
    assert [request.seed_of(i) for i in range(3)] == [first_and_last[0], None, first_and_last[1]]
    assert request.texts()["walk"] == f"{title}, slerp, 3 steps"
    assert request.names() == ["frame0000", "frame0001", "frame0002"]
