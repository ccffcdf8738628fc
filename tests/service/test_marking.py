import io
import xml.etree.ElementTree as ET

import numpy as np
from PIL import Image

from service import marking, png


def marked(seed: str | None) -> Image.Image:
    data = png.encode(np.zeros((4, 4, 1), np.uint8), marking.png_chunks("digits", 3, 0.7, seed))
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
