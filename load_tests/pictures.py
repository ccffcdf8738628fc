"""What a correct answer is: a PNG of the card's size, always the same for the same model and seed."""

import hashlib
import io
import zipfile

from PIL import Image

REMEMBERED = 10_000  # seeds below are remembered: a run of days is to need no more memory than one of minutes


class Pictures:
    """Keeps digests of answers by model and seed; each method returns what is wrong, or None."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._digests: dict[tuple[str, int, str], bytes] = {}

    def png(self, model: str, seed: int, data: bytes) -> str | None:
        """Check the picture of a seed, byte by byte and pixel by pixel."""
        return self._differs((model, seed, "bytes"), data) or self.pixels(model, seed, data)

    def pixels(self, model: str, seed: int, data: bytes) -> str | None:
        """Check that an image has the pixels of a seed; its metadata may differ."""
        try:
            image = Image.open(io.BytesIO(data))
            image.load()
        except (OSError, ValueError, SyntaxError) as error:  # Pillow's, for different damages
            return f"no picture: {error}"
        if image.size != self._size:
            return f"a picture of {image.size} in place of {self._size}"
        return self._differs((model, seed, "pixels"), image.tobytes())

    def archive(self, model: str, seed: int, n: int, data: bytes) -> str | None:
        """Check a zip of n images, each against the image of its seed alone."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                pngs = [archive.read(name) for name in archive.namelist()]
        except zipfile.BadZipFile as error:
            return f"no zip: {error}"
        if len(pngs) != n:
            return f"{len(pngs)} pictures in place of {n}"
        return next(filter(None, (self.png(model, seed + i, png) for i, png in enumerate(pngs))), None)

    def _differs(self, key: tuple[str, int, str], data: bytes) -> str | None:
        digest = hashlib.sha256(data).digest()
        if key[1] >= REMEMBERED or self._digests.setdefault(key, digest) == digest:
            return None
        return f"seed {key[1]} of {key[0]} has other {key[2]} than before"
