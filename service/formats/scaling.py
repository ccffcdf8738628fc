"""Enlarges drawn images: pixels repeated, for pixel art, or resampled by Lanczos's filter, for photos."""

import numpy as np
from PIL import Image as Pillow

from service.engine.requests import Image, RenderRequest
from service.formats.lossy import to_pillow

RESAMPLES = ("pixels", "lanczos")
SMALL = 64  # pixels a side from which an image is not taken for pixel art; the page does the same


def enlarge(request: RenderRequest, image: Image) -> Image:
    """Return an image of the request, (H, W, C), ``scale`` times as high and wide."""
    scale = request.scale
    if scale == 1:
        return image
    height, width, channels = image.shape
    if (request.resample or default_resample(height, width)) == "pixels":
        return image.repeat(scale, axis=0).repeat(scale, axis=1)
    resized = to_pillow(image).resize((width * scale, height * scale), Pillow.Resampling.LANCZOS)
    return np.asarray(resized).reshape(height * scale, width * scale, channels)


def default_resample(height: int, width: int) -> str:
    """Return how an image of this size is enlarged where a client does not say."""
    return "pixels" if min(height, width) < SMALL else "lanczos"
