"""Reads a picture that a client sends, a PNG, JPEG or WebP, within bounds that are checked before it is decoded."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")
MAX_PIXELS = 25_000_000  # as phones take them; decoded, they are 100 MB
MAX_SCANS = 100  # of a progressive JPEG, which has about ten: each costs as much as the whole picture
SCAN = b"\xff\xda"  # begins a scan; within one, 0 follows each byte of 255
LARGER = 4  # times the size that is wanted: to this, a picture is reduced by averages before it is resampled
PALETTES = ("1", "P", "PA")  # modes whose values are no brightness


class PhotoError(ValueError):
    """The picture cannot be used; the message is for clients."""


def read(data: bytes, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Return the middle of a picture at the size that a model draws, (H, W, C); raises PhotoError."""
    image = _open(data)
    try:
        upright = ImageOps.exif_transpose(_reduced(image, LARGER * max(height, width)))
        flat = _flattened(upright).convert("L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(flat, (width, height), Image.Resampling.LANCZOS)
    except Exception as error:  # decoders raise almost anything for damaged files
        raise PhotoError("the picture is damaged") from error
    return np.asarray(fitted).reshape(height, width, channels)


def _open(data: bytes) -> Image.Image:
    """Return a picture of which no more than the header is decoded."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large() from error
    except Exception as error:  # parsers raise almost anything for other files
        raise PhotoError("the picture is no PNG, JPEG or WebP that can be read") from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large()
    if image.format not in ("PNG", "WEBP") and data.count(SCAN) > MAX_SCANS:
        raise PhotoError(f"the JPEG has more than {MAX_SCANS} scans")
    return image


def _too_large() -> PhotoError:
    return PhotoError(f"the picture has more than {MAX_PIXELS:,} pixels; make it smaller")


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Decode a picture; of a large one, return a small one whose shorter side is ``side`` or more."""
    image.draft(None, (side, side))  # a JPEG is decoded to a half, a quarter or an eighth of its size
    if image.mode in PALETTES:
        image = image.convert("RGBA")
    elif image.mode.startswith("I;16"):
        image = image.convert("I")
    factor = min(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def _flattened(image: Image.Image) -> Image.Image:
    """Return a picture without transparency, on white, and of 8 bits a channel."""
    if image.mode == "I":  # 16 bits, of which convert() would cut off all above the 8th
        return Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image
