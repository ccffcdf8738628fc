"""What an answer format is: the kinds of them, each an encoder of the engine's images."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.engine.requests import Image, RenderRequest
from service.formats import metadata, png
from service.formats.scaling import enlarge

Texts = dict[str, str]
MAX_ENLARGED = 2**24  # pixels of an answer whose images are enlarged: 50 MB of RGB, which are all held at once


class TooLargeError(ValueError):
    """An answer would have too many pixels; the message is for clients."""


@dataclass(frozen=True)
class AnswerFormat(ABC):
    """A form in which drawn images are sent.

    Attributes:
        name: what clients write in the field ``format``.
        media_type: of the answer, and what clients write in ``Accept``.
        extension: of the file name, without the dot.
        marking: how each file says that a machine made it, for the documentation.
        c2pa_type: the media type under which C2PA signs the files; None for files that it cannot sign.
        max_side: most pixels a side; None for no limit that a request could reach.
        attachment: whether browsers save the answer instead of showing it.
    """

    name: str
    media_type: str
    extension: str
    marking: str = ""
    c2pa_type: str | None = None
    max_side: int | None = None
    attachment: bool = False

    @abstractmethod
    def encode_image(self, request: RenderRequest, index: int, image: Image) -> Any:
        """Return the part of the answer that one image makes; ``image`` is (H, W, C) uint8."""

    @abstractmethod
    def combine(self, request: RenderRequest, parts: list[Any]) -> Any:
        """Return the answer; ``parts`` are in the order of the request's images."""

    def check_size(self, request: RenderRequest) -> None:
        """Raise TooLargeError if the answer has more pixels than the format or the server holds."""
        card = request.model.card
        pixels = len(request) * card.height * card.width * request.scale**2
        if request.scale > 1 and pixels > MAX_ENLARGED:
            raise TooLargeError(
                f"enlarged images have at most {MAX_ENLARGED} pixels in one answer, not {pixels}; "
                "ask for fewer images or a smaller scale"
            )
        if self.max_side is None:
            return
        height, width = self._size(request)
        if max(height, width) > self.max_side:
            raise TooLargeError(
                f"{self.name} holds at most {self.max_side} pixels a side, not {width}×{height}; "
                "ask for fewer images or for another format"
            )

    def _size(self, request: RenderRequest) -> tuple[int, int]:
        """Return height and width of the largest image in the answer."""
        return request.model.card.height * request.scale, request.model.card.width * request.scale


@dataclass(frozen=True, kw_only=True)
class ImageFormat(AnswerFormat):
    """One image file; several images are tiled into one.

    Attributes:
        encode: (image, (H, W, C) uint8; texts for its metadata) -> file.
    """

    encode: Callable[[Image, Texts], bytes]

    def encode_image(self, request: RenderRequest, index: int, image: Image) -> Image:
        """Return the pixels, not enlarged yet: they are held until all are there, for every request that waits."""
        return image

    def combine(self, request: RenderRequest, parts: list[Image]) -> bytes:
        """Return the file."""
        enlarged = (enlarge(request, part) for part in parts)
        image = next(enlarged) if len(parts) == 1 else tile(enlarged, len(parts), request.columns)
        return self.encode(image, request.texts())

    def _size(self, request: RenderRequest) -> tuple[int, int]:
        height, width = super()._size(request)
        return math.ceil(len(request) / request.columns) * height, request.columns * width


@dataclass(frozen=True, kw_only=True)
class AnimationFormat(AnswerFormat):
    """One file that plays the images one after another.

    Attributes:
        join: (what ``encode_frame`` returned for each image, texts for the metadata, milliseconds a frame) -> file.
        encode_frame: image, (H, W, C) uint8 -> what ``join`` takes, in less memory than the image; runs on as many
            threads as there are. None: ``join`` takes the images.
    """

    join: Callable[[list[Any], Texts, int], bytes]
    encode_frame: Callable[[Image], Any] | None = None

    def encode_image(self, request: RenderRequest, index: int, image: Image) -> Any:
        """Return a frame, or the image, not enlarged yet."""
        return self.encode_frame(enlarge(request, image)) if self.encode_frame else image

    def combine(self, request: RenderRequest, parts: list[Any]) -> bytes:
        """Return the file."""
        frames = parts if self.encode_frame else [enlarge(request, part) for part in parts]
        return self.join(frames, request.texts(), request.milliseconds)


@dataclass(frozen=True, kw_only=True)
class FilesFormat(AnswerFormat):
    """A PNG for each image, packed into one answer.

    Attributes:
        pack: (request, a PNG for each image) -> answer.
    """

    pack: Callable[[RenderRequest, list[bytes]], Any]
    marking: str = "each PNG"
    c2pa_type: str | None = "image/png"

    def encode_image(self, request: RenderRequest, index: int, image: Image) -> bytes:
        """Return a PNG."""
        return png.encode(enlarge(request, image), metadata.png_chunks(request.texts_of(index)))

    def combine(self, request: RenderRequest, parts: list[bytes]) -> Any:
        """Return the answer."""
        return self.pack(request, parts)


def tile(images: Iterable[Image], count: int, columns: int) -> Image:
    """Lay out ``count`` images of one size in rows of ``columns``; what is left of the last row is black."""
    rows, canvas = math.ceil(count / columns), None
    for i, image in enumerate(images):
        height, width, channels = image.shape
        if canvas is None:
            canvas = np.zeros((rows, height, columns, width, channels), np.uint8)
        canvas[i // columns, :, i % columns] = image
    assert canvas is not None  # noqa: S101 (no request is for no images)
    return canvas.reshape(rows * height, columns * width, channels)
