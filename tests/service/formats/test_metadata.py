import io
import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.engine.library import Library
from service.engine.requests import Interpolation
from service.formats import metadata, png
from service.formats.base import AnimationFormat, AnswerFormat, ImageFormat
from service.formats.registry import offered

TEXTS = {"model": "digits", "version": "3", "truncation": "0.7", "seed": "42"}


def marked(texts: dict[str, str]) -> Image.Image:
    data = png.encode(np.zeros((4, 4, 1), np.uint8), metadata.png_chunks(texts))
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_a_reader_finds_that_a_machine_made_the_picture() -> None:
    xmp = marked(TEXTS).info["xmp"]
    description = ET.fromstring(xmp)[0][0]
    name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert description.get(name) == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_a_reader_finds_how_to_make_the_picture_again() -> None:
    assert TEXTS.items() <= marked(TEXTS).info.items()


def told_by_exiftool(file: Path) -> dict[str, str]:
    """Return what an independent reader finds; skips the test where it is not installed."""
    if shutil.which("exiftool") is None:
        pytest.skip("no exiftool here")
    command = ["exiftool", "-json", "-n", "-validate", "-warning", "-DigitalSourceType", str(file)]
    (found,) = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["Validate"].startswith("0 ")  # errors
    assert "header" not in found.get("Warning", "")
    told: dict[str, str] = found
    return told


@pytest.mark.parametrize("answer_format", offered((ImageFormat, AnimationFormat)), ids=lambda one: one.media_type)
def test_exiftool_finds_the_marking_in_every_format(
    library: Library, tmp_path: Path, answer_format: AnswerFormat
) -> None:
    file = tmp_path / f"drawn.{answer_format.extension}"
    file.write_bytes(_made(library, answer_format))
    assert told_by_exiftool(file)["DigitalSourceType"] == metadata.DIGITAL_SOURCE_TYPE


@pytest.mark.parametrize("answer_format", offered((ImageFormat, AnimationFormat)), ids=lambda one: one.media_type)
def test_every_format_has_the_marking(library: Library, answer_format: AnswerFormat) -> None:
    data = _made(library, answer_format)
    image = Image.open(io.BytesIO(data))
    image.load()
    assert metadata.DIGITAL_SOURCE_TYPE.encode() in bytes(image.info.get("xmp", data))  # Pillow finds none in a GIF
    assert b"seed0001-to-seed0002, slerp, 3 steps" in data


def _made(library: Library, answer_format: AnswerFormat) -> bytes:
    request = Interpolation(library.find("rgb"), latents=[np.zeros(16, np.float32)] * 3, points=(1, 2))
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 20, 3), np.uint8)
    parts = [answer_format.encode_image(request, i, image) for i, image in enumerate(images)]
    made: bytes = answer_format.combine(request, parts)
    return made
