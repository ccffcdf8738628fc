"""The answer formats: a new one is a line in :data:`FORMATS`, which all that depends on formats reads.

That is: the field ``format`` and the ``Accept`` header of /generate and /interpolate, the extensions of /images and of
``python -m service generate --out``, the signing, openapi.json and the table in docs/routes.md.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.requests import Image, RenderRequest
from service.formats import apng, gif, lossy, metadata, packing, png
from service.formats.base import AnimationFormat, AnswerFormat, FilesFormat, ImageFormat

CHUNKS = "XMP, text chunks"
EXIF = "XMP, EXIF"


def _png(image: Image, texts: dict[str, str]) -> bytes:
    return png.encode(image, metadata.png_chunks(texts))


def _apng(frames: list[bytes], texts: dict[str, str], milliseconds: int) -> bytes:
    return apng.join(frames, milliseconds, metadata.png_chunks(texts))


_animated_png = partial(AnimationFormat, join=_apng, encode_frame=png.encode, marking=CHUNKS, c2pa_type="image/png")

# In the order of preference: of the formats that an endpoint offers and a client likes equally, the first is sent.
FORMATS: tuple[AnswerFormat, ...] = (
    ImageFormat("png", "image/png", "png", CHUNKS, "image/png", encode=_png),
    ImageFormat("webp", "image/webp", "webp", EXIF, "image/webp", lossy.MAX_WEBP_SIDE, encode=lossy.webp),
    ImageFormat("jpeg", "image/jpeg", "jpg", EXIF, "image/jpeg", lossy.MAX_JPEG_SIDE, encode=lossy.jpeg),
    _animated_png("apng", "image/apng", "apng"),
    _animated_png("png", "image/png", "png"),  # an APNG is a PNG, and many clients do not know image/apng
    AnimationFormat("webp", "image/webp", "webp", EXIF, "image/webp", lossy.MAX_WEBP_SIDE, join=lossy.animated_webp),
    AnimationFormat(
        "gif", "image/gif", "gif", "XMP, comment", "image/gif", gif.MAX_SIDE, join=gif.join, encode_frame=gif.frame
    ),
    FilesFormat("json", "application/json", "json", pack=packing.to_json),
    FilesFormat("zip", "application/zip", "zip", attachment=True, pack=packing.to_zip),
)
Kinds = tuple[type[AnswerFormat], ...]
STILL: Kinds = (ImageFormat, FilesFormat)  # the kinds of format that /generate offers, and /interpolate as a strip
MOVING: Kinds = (AnimationFormat, FilesFormat)  # and those that /interpolate offers as an animation


def offered(kinds: Kinds) -> list[AnswerFormat]:
    """Return the formats of some kinds, in the order of preference."""
    return [one for one in FORMATS if isinstance(one, kinds)]


def image_formats() -> dict[str, AnswerFormat]:
    """Return the formats of single images, by extension."""
    return {one.extension: one for one in offered((ImageFormat,))}


def named(name: str, kinds: Kinds = STILL) -> AnswerFormat:
    """Return the format of this name among those of some kinds; raises KeyError."""
    return {one.name: one for one in offered(kinds)}[name]


# What is not sent: the PNGs as a list, for files, and the bare arrays, for BentoML's clients.
PNG_FILES = FilesFormat("", "", "", pack=lambda _, pngs: pngs)


class Arrays:
    """An encoder that returns the images as they are: (N, H, W, C) uint8."""

    def encode_image(self, _: RenderRequest, __: int, image: Image) -> Image:
        """Return the image."""
        return image

    def combine(self, _: RenderRequest, images: list[Any]) -> NDArray[np.uint8]:
        """Return all images in one array."""
        return np.stack(images)


ARRAYS = Arrays()
