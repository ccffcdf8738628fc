"""Batches of images -> grids that a person can look at."""

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.images import Pixels


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
