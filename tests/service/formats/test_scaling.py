import io

import numpy as np
import pytest
from PIL import Image

from service.engine.library import Library
from service.engine.requests import RenderRequest
from service.formats.base import MAX_ENLARGED, TooLargeError
from service.formats.registry import FORMATS, named
from service.formats.scaling import default_resample, enlarge
from tests.service.formats.test_registry import drawn, made


@pytest.mark.parametrize("model", ["grey", "rgb"])
@pytest.mark.parametrize("resample", ["pixels", "lanczos", None])
def test_an_image_is_enlarged_to_the_scale(library: Library, model: str, resample: str | None) -> None:
    request = RenderRequest(library.find(model), seeds=(1,), scale=3, resample=resample)
    (image,) = drawn(request)
    height, width, channels = image.shape
    assert enlarge(request, image).shape == (3 * height, 3 * width, channels)


def test_pixels_are_repeated_and_lanczos_blends_them(library: Library) -> None:
    pixels, lanczos = (
        RenderRequest(library.find("rgb"), seeds=(1,), scale=4, resample=resample) for resample in ("pixels", "lanczos")
    )
    (image,) = drawn(pixels)
    np.testing.assert_array_equal(enlarge(pixels, image)[::4, 3::4], image)
    blended = enlarge(lanczos, image)
    assert len(np.unique(blended)) > len(np.unique(image)) / 2
    assert (blended[::4, ::4] != image).any()


def test_small_images_are_taken_for_pixel_art() -> None:
    assert [default_resample(size, 200) for size in (16, 63, 64, 128)] == ["pixels", "pixels", "lanczos", "lanczos"]


@pytest.mark.parametrize("answer_format", FORMATS, ids=lambda one: f"{type(one).__name__}-{one.name}")
def test_every_format_sends_enlarged_images(library: Library, answer_format: object) -> None:
    request = RenderRequest(library.find("rgb"), seeds=(1, 2), scale=2)
    small = RenderRequest(library.find("rgb"), seeds=(1, 2))
    assert made(answer_format, request) != made(answer_format, small)  # type: ignore[arg-type]


def size(part: object) -> int:
    """Return the bytes that a part of an answer holds."""
    return (
        part.nbytes if isinstance(part, np.ndarray) else len(part.tobytes() if isinstance(part, Image.Image) else part)
    )


@pytest.mark.parametrize("answer_format", FORMATS, ids=lambda one: f"{type(one).__name__}-{one.name}")
def test_no_enlarged_pixels_are_held_until_the_others_are_there(library: Library, answer_format: object) -> None:
    request = RenderRequest(library.find("rgb"), seeds=(1,), scale=8, resample="lanczos")
    (image,) = drawn(request)
    part = answer_format.encode_image(request, 0, image)  # type: ignore[attr-defined]
    assert size(part) < enlarge(request, image).nbytes


def test_a_sheet_is_as_large_as_its_enlarged_images(library: Library) -> None:
    request = RenderRequest(library.find("rgb"), seeds=(1, 2), scale=2)
    assert Image.open(io.BytesIO(made(named("png"), request))).size == (80, 48)


def test_an_answer_of_too_many_pixels_is_refused(library: Library) -> None:
    model = library.find("rgb")
    most = MAX_ENLARGED // (24 * 20 * 64)
    named("zip").check_size(RenderRequest(model, seeds=range(most), scale=8))
    with pytest.raises(TooLargeError):
        named("zip").check_size(RenderRequest(model, seeds=range(most + 1), scale=8))
    named("zip").check_size(RenderRequest(model, seeds=range(4096)))  # as before
