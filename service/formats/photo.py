"""Reads a picture that a client sends, a PNG, JPEG or WebP, within bounds that are checked before it is decoded."""

import io
import math
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")
MAX_PIXELS = 25_000_000  # as phones take them; decoded, they are 100 MB
MAX_WEBP = 8_000_000  # pixels: libwebp takes 19 bytes for each, however small the file
# Of a progressive JPEG, which has about ten scans: each costs as much as the whole picture.
MAX_SCANS, MAX_SCANNED = 100, 16 * MAX_PIXELS  # scans, and the pixels of all of them together
ALONE = frozenset({0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})  # markers of a JPEG without a length
MAX_PIECES = 4096  # of a file: Pillow takes 1 µs and more of Python for each, and 8 MiB hold two million
MAX_EXIF = 2**16  # bytes, which a segment of a JPEG holds: Pillow makes objects of Python of all of it
EXIF = b"Exif\0\0"  # begins such a segment, after its marker and length
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"  # how they begin
SCAN = b"\xff\xda"  # begins a scan; within one, 0 follows each byte of 255
LARGER = 4  # times the size that is wanted: to this, a picture is reduced by averages before it is resampled
PALETTES = ("1", "P", "PA")  # modes whose values are no brightness
# By the orientation of EXIF. Those from 5 on exchange width and height.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = (5, 6, 7, 8)


class PhotoError(ValueError):
    """The picture cannot be used; the message is for clients."""


def read(data: bytes, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Return the middle of a picture at the size that a model draws, (H, W, C); raises PhotoError."""
    with warnings.catch_warnings():  # Pillow's would go to stderr, one for each odd tag, and wait for who reads it
        warnings.simplefilter("ignore")
        image = _open(data)
        try:
            fitted = _fitted(image, height, width, "L" if channels == 1 else "RGB")
        except PhotoError:
            raise
        except Exception as error:  # decoders raise almost anything for damaged files
            raise PhotoError("the picture is damaged") from error
    return np.asarray(fitted).reshape(height, width, channels)


def _fitted(image: Image.Image, height: int, width: int, mode: str) -> Image.Image:
    """Decode a picture; return the middle of it, upright, at a size and in a mode."""
    image.draft(None, (LARGER * max(height, width),) * 2)  # a JPEG is decoded to a half, a quarter or an eighth
    image.load()
    orientation = _orientation(image)
    turned = orientation in ON_ITS_SIDE
    reduced = _reduced(image, *((width, height) if turned else (height, width)))
    upright = reduced.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else reduced
    return ImageOps.fit(_flattened(upright).convert(mode), (width, height), Image.Resampling.LANCZOS)


def _orientation(image: Image.Image) -> int:
    """Return how a decoded picture lies (EXIF), 1 for upright; raises PhotoError."""
    image.info.pop("Raw profile type exif", None)  # which some PNG have in place of EXIF, packed
    if len(image.info.get("exif", b"")) > MAX_EXIF:
        raise PhotoError(f"the picture has more than {MAX_EXIF} bytes of EXIF; save it without")
    found = image.getexif().get(ExifTags.Base.Orientation)
    return found if isinstance(found, int) else 1


def _open(data: bytes) -> Image.Image:
    """Return a picture of which no more than the header is decoded."""
    if _has_too_many_pieces(data):
        raise PhotoError("the picture's file has too many parts, or too much EXIF; save it anew")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(MAX_PIXELS) from error
    except Exception as error:  # parsers raise almost anything for other files
        raise PhotoError("the picture is no PNG, JPEG or WebP that can be read") from error
    if image.width * image.height > (most := MAX_WEBP if image.format == "WEBP" else MAX_PIXELS):
        raise _too_large(most)
    scans = 0 if image.format in ("PNG", "WEBP") else data.count(SCAN)
    if scans > MAX_SCANS or scans * image.width * image.height > MAX_SCANNED:
        raise PhotoError("the JPEG has too many scans; save it without progressive encoding")
    return image


def _too_large(most: int) -> PhotoError:
    return PhotoError(f"the picture has more than {most:,} pixels; make it smaller")


def _has_too_many_pieces(data: bytes) -> bool:
    """Return whether a PNG has more chunks, or a JPEG more segments and bytes between them, or EXIF, than are read."""
    at, exif = 8 if data.startswith(PNG) else 2, 0
    for _ in range(MAX_PIECES):
        if at + 4 > len(data) or data.startswith(SCAN, at):
            return False
        if data.startswith(PNG):
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        elif data[at] != 0xFF or data[at + 1] in (0, 0xFF):
            at += 1
        elif data[at + 1] in ALONE:
            at += 2
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            exif += length if data.startswith(EXIF, at + 4) else 0  # Pillow parses all of it as it opens the file
            if exif > MAX_EXIF:
                return True
            at += 2 + length
    return data.startswith((PNG, JPEG))


def _reduced(image: Image.Image, height: int, width: int) -> Image.Image:
    """Return the middle of a picture, as small as still suits an image of this size."""
    side = LARGER * max(height, width)
    image = _middle(image, height, width)
    if image.mode in PALETTES:
        image = image.convert("RGBA")
    elif image.mode.startswith("I;16"):
        image = image.convert("I")
    factor = min(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def _middle(image: Image.Image, height: int, width: int) -> Image.Image:
    """Return the middle of a picture, in the shape that is wanted: a strip of 100 by 250,000 pixels has no other use.

    What follows makes copies of it, of up to 8 bytes a pixel.
    """
    columns = min(image.width, math.ceil(image.height * width / height))
    rows = min(image.height, math.ceil(image.width * height / width))
    left, top = (image.width - columns) // 2, (image.height - rows) // 2
    return image.crop((left, top, left + columns, top + rows))


def _flattened(image: Image.Image) -> Image.Image:
    """Return a picture without transparency, on white, and of 8 bits a channel."""
    if image.mode == "I":  # 16 bits, of which convert() would cut off all above the 8th
        return Image.fromarray((np.asarray(image).astype(np.uint16) // 257).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image
