"""Animated GIF: 256 colours a frame, for programs that take no other animation. Pillow encodes it."""

import io
import json
import math
from typing import Any

from PIL import Image as Pillow

from service.engine.requests import Image
from service.formats import metadata
from service.formats.lossy import to_pillow

MAX_SIDE = 2**16 - 1  # pixels: GIF89a, section 18
UNIT = 10  # milliseconds of a delay
FASTEST = 20  # milliseconds; browsers show a frame of less for 100
# Pixels a side of what a palette is made from: of 512, it takes 0.28 s of a core, of 128, 0.02 s, and colours differ by
# 3.3 levels from the image's instead of 3.0.
PALETTE_SIDE = 128
# XMP is no block of a GIF: its bytes are read as lengths of blocks, and this end of it closes them wherever they lead.
# Adobe, "XMP specification, part 3", section 1.1.2.
MAGIC = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
XMP = b"\x21\xff\x0bXMP DataXMP" + metadata.XMP_PACKET + MAGIC


def frame(image: Image) -> Pillow.Image:
    """Return an image, (H, W, C) uint8, with a palette of its own."""
    grey_or_rgb = to_pillow(image)
    if grey_or_rgb.mode == "L":
        return grey_or_rgb
    reduced = grey_or_rgb.reduce(math.ceil(max(grey_or_rgb.size) / PALETTE_SIDE))
    palette = reduced.quantize(method=Pillow.Quantize.MEDIANCUT)
    if reduced.size == grey_or_rgb.size:
        return palette
    return grey_or_rgb.quantize(palette=palette, dither=Pillow.Dither.NONE)


def join(frames: list[Pillow.Image], texts: dict[str, str], milliseconds: int) -> bytes:
    """Return frames as an endless animation, marked with ``texts``."""
    first, *others = frames
    file = io.BytesIO()
    delay = max(FASTEST, round(milliseconds / UNIT) * UNIT)
    more: dict[str, Any] = {"save_all": True, "append_images": others, "duration": delay, "loop": 0}
    first.save(file, "GIF", comment=json.dumps(texts).encode(), **more)
    return _marked(file.getvalue())


def _marked(data: bytes) -> bytes:
    """Return a GIF with XMP before its first block."""
    flags = data[10]
    table = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0  # the global palette
    head = 13 + table
    return data[:head] + XMP + data[head:]
