"""Decode one image file, and make of it the square uint8 array that the networks see."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from training.configs import ImagesConfig

# Pillow's names of the formats that are read. Not EPS, which would run Ghostscript on a stranger's file.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "HEIF", "PPM", "TGA")
SMALLEST = 16  # pixels on the shorter side
WHITES = (1.0, 255.0, 65_535.0)  # what white can be in a file of 32-bit values, which does not say
NEEDS_HEIF = "HEIC, which needs pillow-heif: install the extra heic, or convert it to JPEG"

Pixels = NDArray[np.uint8]


class NotUsableError(Exception):
    """An image cannot be used; the message says why."""


@dataclass(frozen=True)
class Original:
    """What an image was before it was made square."""

    mode: str  # Pillow's
    size: str  # "300x200"
    cut_off: float  # share of its pixels outside the square
    transparent: bool


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that can be read here: HEIC is among them where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_image(file: Path | BytesIO) -> Image.Image:
    """Open an image of one of :data:`FORMATS`; raises anything that Pillow raises."""
    try:
        return Image.open(file, formats=formats())
    except UnidentifiedImageError:
        heic = isinstance(file, Path) and file.suffix.lower() in (".heic", ".heif")
        missing = heic and "HEIF" not in formats()
        raise NotUsableError(NEEDS_HEIF if missing else "not an image that Pillow can read") from None


def decode(image: Image.Image, config: ImagesConfig, to: Pixels) -> Original:
    """Write an image, square and resized, to an array (C, S, S).

    Raises:
        NotUsableError: it is too small.
        Exception: it is damaged; decoders raise almost anything.
    """
    mode, size = image.mode, f"{image.width}x{image.height}"
    if min(image.size) < SMALLEST:
        raise NotUsableError(f"too small ({size})")
    cut_off = 1 - min(image.size) / max(image.size) if config.crop == "center" else 0.0
    opaque, transparent = _flatten(_to_levels(ImageOps.exif_transpose(image)), config.background)
    square = _square(opaque.convert("L" if config.channels == 1 else "RGB"), config)
    pixels = np.asarray(square).reshape(config.size, config.size, config.channels)
    to[:] = pixels.transpose(2, 0, 1)
    return Original(mode, size, cut_off, transparent)


def _to_levels(image: Image.Image) -> Image.Image:
    """Scale grey values of 16 or 32 bits to levels of 0 to 255; Pillow's convert would clip them."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    white = WHITES[-1] if image.mode.startswith("I;16") else _white(float(values.max()))
    return Image.fromarray((values / (white / 255)).clip(0, 255).astype(np.uint8))


def _white(largest: float) -> float:
    """Return the value of white in an image of 32-bit values: the smallest usual one that holds all of them."""
    return next((white for white in WHITES if largest <= white), largest)


def _flatten(image: Image.Image, background: str) -> tuple[Image.Image, bool]:
    """Put transparency on the background; return whether there was any."""
    if not image.has_transparency_data:
        return image, False
    rgba = image.convert("RGBA")
    transparent = bool(np.asarray(rgba.getchannel("A")).min() < 255)
    return Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba), transparent


def _square(image: Image.Image, config: ImagesConfig) -> Image.Image:
    """Crop to the central square, or pad with the background."""
    size = (config.size, config.size)
    if config.crop == "pad":
        return ImageOps.pad(image, size, Image.Resampling.LANCZOS, color=config.background)
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
