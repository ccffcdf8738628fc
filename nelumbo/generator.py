"""A model file as a Python object: the engine of the service, in this process, without a server."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.contract import Card
from service.engine import interpolation, latents
from service.engine.latents import Latent
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.formats.lossy import to_pillow
from service.formats.registry import ARRAYS

Source = int | Sequence[float] | Latent  # a seed, or the (Z,) numbers of a latent


class Generator:
    """Draws images of one model; the same seed draws the same pixels as the service does.

        from nelumbo import Generator
        Generator("models/cats").draw(seed=42).save("42.png")

    Args:
        path: a folder of versions, ``models/cats``, of which the newest is taken; or a version, ``models/cats/1``.
        provider: the execution provider, as ``--provider`` of ``nelumbo serve``.

    Raises:
        ServiceError: no model is there, or it cannot be served.
    """

    def __init__(self, path: str | Path, provider: str = "cpu") -> None:
        self._renderer = Renderer(Path(path).resolve(), provider, queue=latents.SEEDS)
        self._renderer.load()
        self._model = self._renderer.library.find(None)

    @property
    def card(self) -> Card:
        """What the file says of itself: name, version, size, data, licence."""
        return self._model.card

    def latent(self, seed: int) -> Latent:
        """Return the latent of a seed, (Z,) float32.

        Raises:
            ValueError: the seed is not from 0 to 2**32 - 1.
        """
        return latents.from_seed(_check_seed(seed), self.card.latent_dim)

    @overload
    def draw(
        self, seed: int | None = None, *, latent: Source | None = None, truncation: float = 1.0
    ) -> Image.Image: ...

    @overload
    def draw(self, *, seeds: Sequence[int], truncation: float = 1.0) -> list[Image.Image]: ...

    @overload
    def draw(self, *, latents: Sequence[Source] | NDArray[Any], truncation: float = 1.0) -> list[Image.Image]: ...

    def draw(
        self,
        seed: int | None = None,
        *,
        seeds: Sequence[int] | None = None,
        latent: Source | None = None,
        latents: Sequence[Source] | NDArray[Any] | None = None,
        truncation: float = 1.0,
    ) -> Image.Image | list[Image.Image]:
        """Draw one image, of ``seed`` or ``latent``, or a list of them, of ``seeds`` or ``latents``.

        Args:
            seed: from 0 to 2**32 - 1.
            seeds: the seeds of a list.
            latent: (Z,) numbers.
            latents: (N, Z) numbers.
            truncation: the factor by which each latent is multiplied, 0 to 2.

        Returns:
            Pillow images, RGB or, of a grey model, L.

        Raises:
            TypeError: not exactly one of the four is given.
            ValueError: a seed, a latent or the truncation is out of its range.
        """
        if sum(source is not None for source in (seed, seeds, latent, latents)) != 1:
            raise TypeError("draw() takes one of seed, seeds, latent and latents")
        if not 0 <= truncation <= 2:
            raise ValueError(f"truncation must be from 0 to 2, not {truncation}")
        many = seeds if seeds is not None else latents
        if many is not None:
            return self._draw(many, truncation)
        return self._draw([seed if latent is None else latent], truncation)[0]

    def interpolate(
        self, start: Source, end: Source, steps: int = 16, *, path: str = "slerp", truncation: float = 1.0
    ) -> list[Image.Image]:
        """Draw ``steps`` images from one seed or latent to another, both ends among them.

        Args:
            start: a seed, or (Z,) numbers.
            end: the same.
            steps: at least 2.
            path: ``slerp``, equal angles on the sphere of latents, or ``linear``.
            truncation: as of :meth:`draw`.
        """
        if steps < 2 or path not in interpolation.PATHS:
            raise ValueError(f"steps must be at least 2, and path one of {', '.join(interpolation.PATHS)}")
        frames = interpolation.PATHS[path](self._to_latent(start), self._to_latent(end), steps)
        return self.draw(latents=frames, truncation=truncation)

    def close(self) -> None:
        """End the threads that draw; a generator that is closed draws no more."""
        self._renderer.close()

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Generator {self._model.ref}, {self.card.width}×{self.card.height}>"

    def _draw(self, sources: Sequence[Any] | NDArray[Any], truncation: float) -> list[Image.Image]:
        if len(sources) == 0:
            return []
        request = RenderRequest(self._model, truncation, latents=[self._to_latent(source) for source in sources])
        images, _ = self._renderer.submit(request, ARRAYS, deadline=float("inf"))
        return [to_pillow(image) for image in images.result()]

    def _to_latent(self, source: Source) -> Latent:
        if isinstance(source, int | np.integer):
            return self.latent(int(source))
        latent = np.asarray(source, np.float32)
        if latent.shape != (self.card.latent_dim,) or not np.isfinite(latent).all():
            raise ValueError(f"a latent of {self._model.ref} is {self.card.latent_dim} finite numbers")
        return latent


def _check_seed(seed: int) -> int:
    if not 0 <= seed < latents.SEEDS:
        raise ValueError(f"a seed is an integer from 0 to {latents.SEEDS - 1}, not {seed}")
    return seed
