"""WebP and JPEG, single and animated, which Pillow encodes."""

import io
from typing import Any

from PIL import Image as Pillow

from service.engine.requests import Image
from service.formats import metadata

# Single images are lossless, so that a seed has the same pixels as in PNG. Method 1 is 5 times as slow as 0 and its
# files are 40% smaller.
WEBP: dict[str, Any] = {"format": "WEBP", "lossless": True, "method": 1, "quality": 20}
# Animations are lossy: a sixteenth of the size of the APNG, which has the exact pixels.
ANIMATED_WEBP: dict[str, Any] = {"format": "WEBP", "quality": 90, "method": 0, "loop": 0}
JPEG: dict[str, Any] = {"format": "JPEG", "quality": 95, "subsampling": "4:4:4"}  # small images have fine colours
MAX_WEBP_SIDE = 2**14 - 1  # pixels; https://developers.google.com/speed/webp/faq
MAX_JPEG_SIDE = 65_500  # of libjpeg; the format itself would hold 65,535


def to_pillow(image: Image) -> Pillow.Image:
    """Return ``image``, (H, W, C) uint8 with C = 1 or 3, as a Pillow image."""
    return Pillow.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def webp(image: Image, texts: dict[str, str]) -> bytes:
    """Return ``image``, (H, W, C) uint8, as lossless WebP, marked with ``texts``."""
    return _save(image, texts, WEBP)


def jpeg(image: Image, texts: dict[str, str]) -> bytes:
    """Return ``image``, (H, W, C) uint8, as JPEG, marked with ``texts``."""
    return _save(image, texts, JPEG)


def animated_webp(images: list[Image], texts: dict[str, str], milliseconds: int) -> bytes:
    """Return ``images`` as a WebP that plays each for so long, again and again."""
    first, *others = map(to_pillow, images)
    file = io.BytesIO()
    exif = metadata.exif(texts).removeprefix(b"Exif\0\0")  # JPEG's prefix; Pillow removes it for a still WebP only
    more: dict[str, Any] = {"save_all": True, "append_images": others, "duration": milliseconds}
    first.save(file, exif=exif, xmp=metadata.XMP_PACKET, **more, **ANIMATED_WEBP)
    return file.getvalue()


def _save(image: Image, texts: dict[str, str], options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    to_pillow(image).save(file, exif=metadata.exif(texts), xmp=metadata.XMP_PACKET, **options)
    return file.getvalue()
