"""A sheet of a model's directions: a row for each, from one end of its useful range to the other."""

import io

import numpy as np
from PIL import Image

from export.sampler import Sampler
from service.contract import Card

COLUMNS = 7
MARGIN = 2  # white pixels between images


def draw(sampler: Sampler, card: Card, seed: int) -> bytes:
    """Return a PNG with a row of seven for each direction; the image in the middle is the seed's own."""
    count = len(card.directions)
    rows = []
    for number, direction in enumerate(card.directions):
        amounts = np.zeros((COLUMNS, count), np.float32)
        amounts[:, number] = np.linspace(-direction.range, direction.range, COLUMNS)
        images = sampler.draw([seed] * COLUMNS, amounts)  # (7, H, W, C)
        padded = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=255)
        rows.append(np.concatenate([*padded], axis=1))
    sheet = np.concatenate(rows)
    file = io.BytesIO()
    Image.fromarray(sheet[:, :, 0] if card.channels == 1 else sheet).save(file, "PNG", optimize=True)
    return file.getvalue()
