import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nelumbo import Generator
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats.registry import PNG_FILES
from tests import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with grey@1, grey@2 (8 numbers, 16×16), rgb@1 (16 numbers, 24×20) and letters@1 of schema 2."""
    models = tmp_path_factory.mktemp("models")
    tiny.write(models, tiny.card("grey", 1))
    tiny.write(models, tiny.card("grey", 2), tiny.model(tiny.card("grey", 2), seed=1))
    tiny.write(models, tiny.card("rgb", 1, latent_dim=16, height=24, width=20, channels=3))
    tiny.write(models, tiny.conditional("letters"))
    return models


@pytest.fixture(scope="module")
def grey(folder: Path) -> Iterator[Generator]:
    with Generator(folder / "grey") as generator:
        yield generator


def test_a_seed_draws_the_pixels_that_the_service_draws(folder: Path, grey: Generator) -> None:
    renderer = Renderer(folder)
    renderer.load()
    served, _ = renderer.submit(RenderRequest(renderer.library.find("grey@2"), seeds=(42,)), PNG_FILES, 60)
    with Image.open(io.BytesIO(served.result()[0])) as expected:
        np.testing.assert_array_equal(np.asarray(grey.draw(seed=42)), np.asarray(expected))
    renderer.close()


def test_the_newest_version_is_drawn_unless_one_is_named(folder: Path, grey: Generator) -> None:
    assert grey.card.version == 2
    with Generator(folder / "grey" / "1") as first:
        assert first.card.version == 1
        assert first.draw(7).tobytes() != grey.draw(7).tobytes()


def test_many_are_drawn_in_their_order(grey: Generator) -> None:
    images = grey.draw(seeds=range(40))
    assert [image.tobytes() for image in images] == [grey.draw(seed).tobytes() for seed in range(40)]


def test_a_colour_model_draws_rgb_of_its_size(folder: Path) -> None:
    with Generator(str(folder / "rgb")) as rgb:
        image = rgb.draw(seed=1)
    assert (image.mode, image.size) == ("RGB", (20, 24))


def test_the_latent_of_a_seed_draws_what_the_seed_draws(grey: Generator) -> None:
    latent = grey.latent(5)
    assert latent.shape == (8,)
    assert grey.draw(latent=latent).tobytes() == grey.draw(5).tobytes()


def test_interpolation_begins_and_ends_with_its_ends(grey: Generator) -> None:
    frames = grey.interpolate(1, grey.latent(2), steps=5)
    assert len(frames) == 5
    assert [frames[0].tobytes(), frames[-1].tobytes()] == [grey.draw(1).tobytes(), grey.draw(2).tobytes()]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"seed": 1, "latent": [0.0] * 8}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": 2**32}, ValueError),
        ({"latent": [0.0] * 7}, ValueError),
        ({"latents": [[float("nan")] * 8]}, ValueError),
        ({"seed": 1, "truncation": 0.5}, ValueError),
        ({"seed": 1, "class_": "A"}, ValueError),
        ({"seed": 1, "directions": {"0": 1.0}}, ValueError),
    ],
)
def test_what_cannot_be_drawn_is_refused(grey: Generator, arguments: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        grey.draw(**arguments)  # type: ignore[call-overload]


def test_classes_truncation_and_directions_are_given_by_name(folder: Path) -> None:
    with Generator(folder / "letters") as letters:
        own = letters.draw(7)
        label = np.random.RandomState(7)
        label.randn(8)
        name = letters.card.classes[label.randint(3)]
        assert letters.draw(7, class_=name).tobytes() == own.tobytes()
        each = letters.draw(seeds=[7, 7, 7], class_=letters.card.classes)
        assert own.tobytes() in [image.tobytes() for image in each]
        assert len({image.tobytes() for image in each}) == 3
        for changes in ({"truncation": 0.5}, {"directions": {"weight": 1.5}}, {"directions": {"1": -1}}):
            assert letters.draw(7, **changes).tobytes() != own.tobytes()  # type: ignore[call-overload]
        frames = letters.interpolate(7, 8, steps=3)
        assert frames[0].tobytes() == own.tobytes()
        assert frames[-1].tobytes() == letters.draw(8, class_=name).tobytes()
        with pytest.raises(ValueError, match="no class"):
            letters.draw(7, class_="D")
        with pytest.raises(ValueError, match="as many as images"):
            letters.draw(seeds=[1, 2, 3], class_=["A", "B"])


def test_truncation_is_by_default_that_of_the_model(tmp_path: Path) -> None:
    tiny.write(tmp_path, tiny.card("safe", truncation=True, default_truncation=0.5))
    with Generator(tmp_path / "safe") as safe:
        assert safe.draw(7).tobytes() == safe.draw(7, truncation=0.5).tobytes() != safe.draw(7, truncation=1).tobytes()
        frames = safe.interpolate(7, 8, steps=2)
        assert frames[1].tobytes() == safe.draw(8).tobytes()


def test_no_seeds_are_no_images(grey: Generator) -> None:
    assert grey.draw(seeds=[]) == []


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError):
        Generator(tmp_path)
