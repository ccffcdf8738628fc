"""Batches of images -> grids and animations to look at."""

import io
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from training.images import Pixels

FRAMES = 48  # of a timelapse while the run goes on
FINAL_FRAMES = 500  # of the timelapse of a run that has ended
FRAME_SIDE = 512  # pixels
FRAME_MS, LAST_FRAME_MS = 120, 2000
ANIMATION_MS = 15_000  # in which many frames are shown faster
ANIMATION_BYTES = 4_000_000  # small enough for a mail

Item = TypeVar("Item")


def to_pixels(images: Tensor) -> Pixels:
    """Return images (N, C, H, W) in [-1, 1] as uint8, rounded as the exported graph rounds."""
    levels = ((images.float() + 1) * 127.5).clamp(0, 255).round()
    return levels.to(torch.uint8).cpu().numpy()


def to_images(pixels: Tensor) -> Tensor:
    """Return uint8 (N, C, H, W) as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def grid(pixels: Pixels, columns: int | None = None) -> Image.Image:
    """Lay images (N, C, H, W) out in rows on black, in a square unless ``columns`` says otherwise."""
    number, channels, height, width = pixels.shape
    columns = columns or math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    sheet = np.zeros((rows * columns, channels, height, width), np.uint8)
    sheet[:number] = pixels
    sheet = sheet.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)  # (R, H, K, W, C)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    return Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)


def png(image: Image.Image) -> bytes:
    """Return the image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def evenly_spaced(items: Sequence[Item], number: int) -> list[Item]:
    """Return at most ``number`` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= number:
        return list(items)
    return [items[round(i * (len(items) - 1) / (number - 1))] for i in range(number)]


def animation(frames: Sequence[Image.Image], limit: int = ANIMATION_BYTES) -> bytes:
    """Return the frames as an animated WebP, in fewer frames where it would be more than ``limit`` bytes."""
    small = [ImageOps.contain(frame.convert("RGB"), (FRAME_SIDE, FRAME_SIDE)) for frame in frames]
    while True:
        buffer = io.BytesIO()
        each = max(30, min(FRAME_MS, ANIMATION_MS // len(small)))
        times = [each] * (len(small) - 1) + [LAST_FRAME_MS]
        small[0].save(buffer, "WEBP", save_all=True, append_images=small[1:], duration=times, loop=0, quality=60)
        if buffer.tell() <= limit or len(small) <= 2:
            return buffer.getvalue()
        small = evenly_spaced(small, max(2, int(0.9 * len(small) * limit / buffer.tell())))
