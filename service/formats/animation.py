"""From the images on the way between two latents to what is sent: an animation, a strip, or the frames themselves."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from service.formats import apng, lossy, metadata, png
from service.formats.registry import FORMS, Form, Image, Picture

FRAME_MS = 50
# Lossy, unlike a single picture: a sixteenth of the APNG, which is there for those who want the very pixels.
WEBP: dict[str, Any] = {"format": "WEBP", "quality": 90, "method": 0}


@dataclass(frozen=True)
class Walk(Picture):
    """The images on the way from one latent to another; ``ends`` are their seeds, where they have any."""

    ends: tuple[int | None, int | None] = (None, None)
    path: str = "slerp"

    def seed_of(self, index: int) -> int | None:
        """Return the seed of a frame that is an end of the way."""
        return {0: self.ends[0], len(self) - 1: self.ends[1]}.get(index)

    def seed_text(self) -> str | None:
        """Return the seeds of both ends as ``1,7``, or None where one is a latent."""
        return None if None in self.ends else ",".join(map(str, self.ends))

    def names(self) -> list[str]:
        """Return a file name for each frame."""
        return [f"frame{i:04d}" for i in range(len(self))]

    def title(self) -> str:
        """Return a file name for the whole."""
        return "-to-".join("latent" if seed is None else f"seed{seed:04d}" for seed in self.ends)

    def texts(self) -> dict[str, str]:
        """Return how to make the whole again."""
        card = self.model.card
        told = metadata.texts(card.name, card.version, self.truncation, None)
        return told | {"walk": f"{self.title()}, {self.path}, {len(self)} steps"}


def _frame(_: Walk, __: int, image: Image) -> bytes:
    return png.encode(image)


def _apng(walk: Walk, frames: list[bytes]) -> bytes:
    return apng.join(frames, FRAME_MS, metadata.chunks(walk.texts()))


def _webp(walk: Walk, images: list[Image]) -> bytes:
    first, *others = map(lossy.from_array, images)
    file = io.BytesIO()
    moving: dict[str, Any] = {"save_all": True, "append_images": others, "duration": FRAME_MS, "loop": 0}
    exif = metadata.exif(walk.texts()).removeprefix(b"Exif\0\0")  # JPEG's; Pillow takes it off a still WebP only
    first.save(file, exif=exif, xmp=metadata.XMP_PACKET, **moving, **WEBP)
    return file.getvalue()


def _strip(encode: Callable[[Image, dict[str, str]], bytes], walk: Walk, images: list[Image]) -> bytes:
    return encode(np.concatenate(images, axis=1), walk.texts())


def _png(image: Image, texts: dict[str, str]) -> bytes:
    return png.encode(image, metadata.chunks(texts))


def _pixels(_: Walk, __: int, image: Image) -> Image:
    return image


# By media type, the one that is sent where the client does not care first.
FRAMES = {name: FORMS[name] for name in ("application/json", "application/zip")}
ANIMATIONS = {
    "image/apng": Form(_frame, _apng, "apng"),
    "image/png": Form(_frame, _apng, "png"),  # an APNG is a PNG, and not every client asks for it by its own name
    "image/webp": Form(_pixels, _webp, "webp"),
} | FRAMES
STRIPS = {
    "image/png": Form(_pixels, partial(_strip, _png), "png"),
    "image/webp": Form(_pixels, partial(_strip, partial(lossy.encode, lossy.WEBP)), "webp"),
    "image/jpeg": Form(_pixels, partial(_strip, partial(lossy.encode, lossy.JPEG)), "jpg"),
} | FRAMES
FORMS_OF = {"animation": ANIMATIONS, "strip": STRIPS}
