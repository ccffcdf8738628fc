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
from service.formats import metadata, png
from service.formats.animation import FORMS_OF, Walk
from service.formats.registry import FORMS, Picture


def marked(seed: str | None) -> Image.Image:
    data = png.encode(np.zeros((4, 4, 1), np.uint8), metadata.png_chunks("digits", 3, 0.7, seed))
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_a_reader_finds_that_a_machine_made_the_picture() -> None:
    xmp = marked("42").info["xmp"]
    description = ET.fromstring(xmp)[0][0]
    name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert description.get(name) == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_a_reader_finds_how_to_make_the_picture_again() -> None:
    texts = {key: marked("42").info[key] for key in ("model", "version", "seed", "truncation")}
    assert texts == {"model": "digits", "version": "3", "seed": "42", "truncation": "0.7"}


def test_a_picture_of_a_latent_names_no_seed() -> None:
    assert "seed" not in marked(None).info


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


@pytest.mark.parametrize("media_type", [name for name in FORMS if name.startswith("image/")])
def test_exiftool_finds_the_marking_in_every_format(library: Library, tmp_path: Path, media_type: str) -> None:
    form = FORMS[media_type]
    picture = Picture(library.find("rgb"), seeds=(42,))
    file = tmp_path / f"picture.{form.extension}"
    file.write_bytes(form.gather(picture, [form.each(picture, 0, np.zeros((24, 20, 3), np.uint8))]))
    assert told_by_exiftool(file)["DigitalSourceType"].endswith("/trainedAlgorithmicMedia")


@pytest.mark.parametrize(
    ("form", "media_type"),
    [(form, name) for form, forms in FORMS_OF.items() for name in forms if name.startswith("image/")],
)
def test_exiftool_finds_the_marking_in_every_walk(library: Library, tmp_path: Path, form: str, media_type: str) -> None:
    made = FORMS_OF[form][media_type]
    walk = Walk(library.find("rgb"), latents=[np.zeros(16, np.float32)] * 3, ends=(1, 2))
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 20, 3), np.uint8)
    file = tmp_path / f"walk.{made.extension}"
    file.write_bytes(made.gather(walk, [made.each(walk, i, image) for i, image in enumerate(images)]))
    assert told_by_exiftool(file)["DigitalSourceType"].endswith("/trainedAlgorithmicMedia")
