import base64
import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.engine.library import Library
from service.engine.renderer import Encoder
from service.engine.requests import Interpolation, RenderRequest
from service.formats.base import AnswerFormat, ImageFormat, TooLargeError, tile
from service.formats.registry import ARRAYS, FORMATS, STILL, named, offered


def drawn(request: RenderRequest) -> np.ndarray:
    card = request.model.card
    shape = (len(request), card.height, card.width, card.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def made(encoder: Encoder, request: RenderRequest) -> Any:
    return encoder.combine(request, [encoder.encode_image(request, i, one) for i, one in enumerate(drawn(request))])


@given(count=st.integers(1, 70), columns=st.integers(1, 12), channels=st.sampled_from([1, 3]))
def test_tiles_stand_in_reading_order(count: int, columns: int, channels: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 3, 5, channels), np.uint8)
    laid = tile(images, len(images), columns)
    assert laid.shape == (-(-count // columns) * 3, columns * 5, channels)
    for i, image in enumerate(images):
        y, x = i // columns * 3, i % columns * 5
        np.testing.assert_array_equal(laid[y : y + 3, x : x + 5], image)


@pytest.mark.parametrize(("model", "mode"), [("grey", "L"), ("rgb", "RGB")])
def test_one_image_is_a_png_of_its_own_pixels(library: Library, model: str, mode: str) -> None:
    request = RenderRequest(library.find(model), seeds=(7,))
    image = Image.open(io.BytesIO(made(named("png"), request)))
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), drawn(request)[0].squeeze())
    assert image.info["seed"] == "7"


def test_many_images_are_one_sheet_that_names_all_its_seeds(library: Library) -> None:
    request = RenderRequest(library.find("grey"), seeds=(1, 2, 3))
    image = Image.open(io.BytesIO(made(named("png"), request)))
    assert image.size == (32, 32)
    assert image.info["seed"] == "1,2,3"


def test_json_has_each_png_with_its_seed(library: Library) -> None:
    request = RenderRequest(library.find("rgb"), 0.5, seeds=(5, 9))
    answer = json.loads(made(named("json"), request))
    assert (answer["model"], answer["truncation"]) == ("rgb@1", 0.5)
    assert [(one["index"], one["seed"]) for one in answer["data"]] == [(0, 5), (1, 9)]
    image = Image.open(io.BytesIO(base64.b64decode(answer["data"][1]["b64_json"])))
    np.testing.assert_array_equal(np.asarray(image), drawn(request)[1])
    assert image.info["seed"] == "9"


def test_json_of_latents_has_no_seeds(library: Library) -> None:
    request = RenderRequest(library.find("grey"), latents=[np.zeros(8, np.float32)])
    assert json.loads(made(named("json"), request))["data"][0]["seed"] is None


def test_a_zip_names_its_files_as_stylegan_does(library: Library) -> None:
    data = made(named("zip"), RenderRequest(library.find("grey"), seeds=(42, 7, 42, 2**32 - 1)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["seed0042.png", "seed0007.png", "seed0042-1.png", "seed4294967295.png"]
        assert Image.open(archive.open("seed0007.png")).info["seed"] == "7"


def test_latents_are_named_by_their_place(library: Library) -> None:
    request = RenderRequest(library.find("grey"), latents=[np.zeros(8, np.float32)] * 2)
    with zipfile.ZipFile(io.BytesIO(made(named("zip"), request))) as archive:
        assert archive.namelist() == ["latent0000.png", "latent0001.png"]
        assert "seed" not in Image.open(archive.open("latent0000.png")).info


@pytest.mark.parametrize("answer_format", FORMATS, ids=lambda one: one.media_type)
def test_the_same_images_are_the_same_bytes(library: Library, answer_format: AnswerFormat) -> None:
    request = RenderRequest(library.find("rgb"), seeds=(1, 2))
    assert made(answer_format, request) == made(answer_format, request)


def test_arrays_are_the_images_stacked(library: Library) -> None:
    request = RenderRequest(library.find("rgb"), seeds=(1, 2, 3))
    np.testing.assert_array_equal(made(ARRAYS, request), drawn(request))


@pytest.mark.parametrize("kind", [RenderRequest, Interpolation])
def test_the_size_is_checked_that_the_tiles_will_have(library: Library, kind: type[RenderRequest]) -> None:
    request = kind(library.find("rgb"), latents=[np.zeros(16, np.float32)] * 5)
    height, width = tile(drawn(request), len(request), request.columns).shape[:2]
    largest = max(height, width)
    narrow = ImageFormat("x", "image/x", "x", max_side=largest - 1, encode=lambda *_: b"")
    ImageFormat("x", "image/x", "x", max_side=largest, encode=lambda *_: b"").check_size(request)
    with pytest.raises(TooLargeError, match=f"at most {largest - 1} pixels a side, not {width}×{height}"):
        narrow.check_size(request)


def test_what_every_endpoint_sends_without_a_wish_is_a_png() -> None:
    assert offered(STILL)[0].name == "png"


@pytest.mark.parametrize("kinds", [STILL, *((type(one),) for one in FORMATS)])
def test_a_name_and_a_media_type_mean_one_format_of_those_that_are_offered_together(
    kinds: tuple[type[AnswerFormat], ...],
) -> None:
    formats = offered(kinds)
    assert len({one.name for one in formats}) == len({one.media_type for one in formats}) == len(formats)
