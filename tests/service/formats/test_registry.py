import base64
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.engine.library import Library
from service.formats.registry import ARRAYS, FORMS, Form, Picture, sheet


def drawn(picture: Picture) -> np.ndarray:
    card = picture.model.card
    shape = (len(picture), card.height, card.width, card.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def sent(form: Form, picture: Picture) -> bytes:
    return form.gather(picture, [form.each(picture, i, image) for i, image in enumerate(drawn(picture))])


@given(count=st.integers(1, 70), channels=st.sampled_from([1, 3]))
def test_a_sheet_holds_every_image_in_reading_order(count: int, channels: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 3, 5, channels), np.uint8)
    laid = sheet(list(images))
    columns = laid.shape[1] // 5
    assert columns - 1 <= laid.shape[0] // 3 <= columns
    for i, image in enumerate(images):
        y, x = i // columns * 3, i % columns * 5
        np.testing.assert_array_equal(laid[y : y + 3, x : x + 5], image)


@pytest.mark.parametrize(("model", "mode"), [("grey", "L"), ("rgb", "RGB")])
def test_one_image_is_a_png_of_its_own_pixels(library: Library, model: str, mode: str) -> None:
    picture = Picture(library.find(model), seeds=(7,))
    image = Image.open(io.BytesIO(sent(FORMS["image/png"], picture)))
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), drawn(picture)[0].squeeze())
    assert image.info["seed"] == "7"


def test_many_images_are_one_sheet_that_names_all_its_seeds(library: Library) -> None:
    picture = Picture(library.find("grey"), seeds=(1, 2, 3))
    image = Image.open(io.BytesIO(sent(FORMS["image/png"], picture)))
    assert image.size == (32, 32)
    assert image.info["seed"] == "1,2,3"


def test_json_holds_each_png_with_its_seed(library: Library) -> None:
    picture = Picture(library.find("grey"), 0.5, seeds=(5, 9))
    answer = json.loads(sent(FORMS["application/json"], picture))
    assert (answer["model"], answer["truncation"]) == ("grey@2", 0.5)
    assert [(one["index"], one["seed"]) for one in answer["data"]] == [(0, 5), (1, 9)]
    image = Image.open(io.BytesIO(base64.b64decode(answer["data"][1]["b64_json"])))
    np.testing.assert_array_equal(np.asarray(image), drawn(picture)[1, :, :, 0])
    assert image.info["seed"] == "9"


def test_json_of_latents_has_no_seeds(library: Library) -> None:
    answer = json.loads(
        sent(FORMS["application/json"], Picture(library.find("grey"), latents=[np.zeros(8, np.float32)]))
    )
    assert answer["data"][0]["seed"] is None


def test_a_zip_names_its_files_as_stylegan_does(library: Library) -> None:
    data = sent(FORMS["application/zip"], Picture(library.find("grey"), seeds=(42, 7, 42, 2**32 - 1)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["seed0042.png", "seed0007.png", "seed0042-1.png", "seed4294967295.png"]
        assert Image.open(archive.open("seed0007.png")).info["seed"] == "7"


def test_latents_are_named_by_their_place(library: Library) -> None:
    picture = Picture(library.find("grey"), latents=[np.zeros(8, np.float32)] * 2)
    with zipfile.ZipFile(io.BytesIO(sent(FORMS["application/zip"], picture))) as archive:
        assert archive.namelist() == ["latent0000.png", "latent0001.png"]
        assert "seed" not in Image.open(archive.open("latent0000.png")).info


@pytest.mark.parametrize("media_type", FORMS)
def test_the_same_images_are_the_same_bytes(library: Library, media_type: str) -> None:
    picture = Picture(library.find("rgb"), seeds=(1, 2))
    assert sent(FORMS[media_type], picture) == sent(FORMS[media_type], picture)


def test_arrays_are_the_images_stacked(library: Library) -> None:
    picture = Picture(library.find("rgb"), seeds=(1, 2, 3))
    np.testing.assert_array_equal(sent(ARRAYS, picture), drawn(picture))
