"""From images to what is sent: a picture or contact sheet, JSON, a zip, or the bare arrays.

A new form is a :class:`Form` and its line in :data:`FORMS`.
"""

import base64
import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.library import Model
from service.formats import lossy, metadata, png

Image = NDArray[np.uint8]  # (H, W, C)


@dataclass(frozen=True)
class Picture:
    """What is asked for: images of one model, by seeds or else by latents, each (Z,) float32."""

    model: Model
    truncation: float = 1.0
    seeds: Sequence[int] = ()
    latents: Sequence[NDArray[np.float32]] = ()

    def __len__(self) -> int:
        return len(self.seeds or self.latents)

    def seed_text(self) -> str | None:
        """Return the seeds as ``42,43``, or None for latents."""
        return ",".join(map(str, self.seeds)) or None

    def seed_of(self, index: int) -> int | None:
        """Return the seed of one image, or None where it came from a latent."""
        return self.seeds[index] if self.seeds else None

    def texts(self) -> dict[str, str]:
        """Return how to make it again."""
        card = self.model.card
        return metadata.texts(card.name, card.version, self.truncation, self.seed_text())

    def names(self) -> list[str]:
        """Return a file name for each image, as StyleGAN's tools call them; a repeated seed gets a suffix."""
        if not self.seeds:
            return [f"latent{i:04d}" for i in range(len(self.latents))]
        seen: Counter[int] = Counter()
        names = []
        for seed in self.seeds:
            names.append(seed_name(seed) + (f"-{seen[seed]}" if seen[seed] else ""))
            seen[seed] += 1
        return names

    def title(self) -> str:
        """Return a file name for the whole."""
        names = self.names()
        return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"


def seed_name(seed: int) -> str:
    """Return what StyleGAN's tools call the picture of a seed: ``seed0042``."""
    return f"seed{seed:04d}"


class Form(NamedTuple):
    """How a picture is sent: ``each`` makes a part of one image, ``gather`` the whole of the parts."""

    each: Callable[[Any, int, Image], Any]
    gather: Callable[[Any, list[Any]], Any]
    extension: str


def sheet(images: Sequence[Image]) -> Image:
    """Lay images of one size out in rows, nearly square; what is left over stays black."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width, channels = images[0].shape
    canvas = np.zeros((rows, height, columns, width, channels), np.uint8)
    for i, image in enumerate(images):
        canvas[i // columns, :, i % columns] = image
    return canvas.reshape(rows * height, columns * width, channels)


def _encode(picture: Picture, image: Image, seed: str | None) -> bytes:
    card = picture.model.card
    return png.encode(image, metadata.png_chunks(card.name, card.version, picture.truncation, seed))


def _pixels(_: Picture, __: int, image: Image) -> Image:
    return image


def _png(picture: Picture, index: int, image: Image) -> bytes:
    seed = picture.seed_of(index)
    return _encode(picture, image, None if seed is None else str(seed))


def _sheet(picture: Picture, images: list[Image]) -> bytes:
    return _encode(picture, _whole(images), picture.seed_text())


def _photo(how: dict[str, Any]) -> Callable[[Picture, list[Image]], bytes]:
    def gather(picture: Picture, images: list[Image]) -> bytes:
        return lossy.encode(how, _whole(images), picture.texts())

    return gather


def _whole(images: list[Image]) -> Image:
    return images[0] if len(images) == 1 else sheet(images)


def _json(picture: Picture, pngs: list[bytes]) -> bytes:
    data = [
        {"index": i, "seed": picture.seed_of(i), "b64_json": base64.b64encode(png).decode()}
        for i, png in enumerate(pngs)
    ]
    model = picture.model
    answer = {"model": model.ref, "digest": model.digest, "truncation": picture.truncation, "data": data}
    return json.dumps(answer).encode()


def _zip(picture: Picture, pngs: list[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # a PNG is compressed already
        for name, data in zip(picture.names(), pngs, strict=True):
            archive.writestr(zipfile.ZipInfo(f"{name}.png"), data)  # ZipInfo's date is fixed: same seeds, same bytes
    return file.getvalue()


def _parts(_: Picture, parts: list[Any]) -> list[Any]:
    return parts


def _stack(_: Picture, images: list[Image]) -> NDArray[np.uint8]:
    return np.stack(images)


# By media type, the one that is sent where the client does not care first.
FORMS = {
    "image/png": Form(_pixels, _sheet, "png"),
    "image/webp": Form(_pixels, _photo(lossy.WEBP), "webp"),
    "image/jpeg": Form(_pixels, _photo(lossy.JPEG), "jpg"),
    "application/json": Form(_png, _json, "json"),
    "application/zip": Form(_png, _zip, "zip"),
}
ARRAYS = Form(_pixels, _stack, "")
PNGS = Form(_png, _parts, "")  # each image on its own
