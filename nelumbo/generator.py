"""A model file as a Python object: the engine of the service, in this process, without a server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.contract import Card
from service.engine import conditions, interpolation, latents
from service.engine.conditions import Conditions
from service.engine.latents import Latent
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.formats.lossy import to_pillow
from service.formats.registry import ARRAYS
from service.settings import default_models

Source = int | Sequence[float] | Latent  # a seed, or the (Z,) numbers of a latent


class Generator:
    """Draws images of one model; the same seed draws the same pixels as the service does.

        from nelumbo import Generator
        Generator("models/cats").draw(seed=42).save("42.png")

    Args:
        path: a folder of versions, ``models/cats``, of which the newest is taken; or a version, ``models/cats/1``. By
            default the first of ``models`` or, where there is no such folder, the emoji that come with the package.
        provider: the execution provider, as ``--provider`` of ``nelumbo serve``.

    Raises:
        ServiceError: no model is there, or it cannot be served.
    """

    def __init__(self, path: str | Path | None = None, provider: str = "cpu") -> None:
        folder = default_models() if path is None else Path(path)
        self._renderer = Renderer(folder.resolve(), provider, queue=latents.SEEDS)
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
        self,
        seed: int | None = None,
        *,
        latent: Source | None = None,
        class_: str | None = None,
        truncation: float | None = None,
        directions: Mapping[str, float] | None = None,
    ) -> Image.Image: ...

    @overload
    def draw(
        self,
        *,
        seeds: Sequence[int],
        class_: str | Sequence[str] | None = None,
        truncation: float | None = None,
        directions: Mapping[str, float] | None = None,
    ) -> list[Image.Image]: ...

    @overload
    def draw(
        self,
        *,
        latents: Sequence[Source] | NDArray[Any],
        class_: str | Sequence[str] | None = None,
        truncation: float | None = None,
        directions: Mapping[str, float] | None = None,
    ) -> list[Image.Image]: ...

    def draw(
        self,
        seed: int | None = None,
        *,
        seeds: Sequence[int] | None = None,
        latent: Source | None = None,
        latents: Sequence[Source] | NDArray[Any] | None = None,
        class_: str | Sequence[str] | None = None,
        truncation: float | None = None,
        directions: Mapping[str, float] | None = None,
    ) -> Image.Image | list[Image.Image]:
        """Draw one image, of ``seed`` or ``latent``, or a list of them, of ``seeds`` or ``latents``.

        Args:
            seed: from 0 to 2**32 - 1.
            seeds: the seeds of a list.
            latent: (Z,) numbers.
            latents: (N, Z) numbers.
            class_: the class of all images, or one for each. Without it, a seed draws its class, and a latent is of
                the first.
            truncation: 0 to 2, of a model that has it: below 1, images are safer and more alike. None: the model's
                default, ``card.default_truncation``.
            directions: amounts by the name or number of a direction: ``{"coat": 1.5, "2": -1}``.

        Returns:
            Pillow images, RGB or, of a grey model, L.

        Raises:
            TypeError: not exactly one of the four is given.
            ValueError: a seed, latent or amount is out of its range, or the model has no such class or direction.
        """
        if sum(source is not None for source in (seed, seeds, latent, latents)) != 1:
            raise TypeError("draw() takes one of seed, seeds, latent and latents")
        classes = [class_] if isinstance(class_, str) else list(class_ or ())
        asked = conditions.find(self._model, classes, truncation, directions)
        many = seeds if seeds is not None else latents
        if many is not None:
            return self._draw(many, asked)
        return self._draw([seed if latent is None else latent], asked)[0]

    def interpolate(
        self,
        start: Source,
        end: Source,
        steps: int = 16,
        *,
        path: str = "slerp",
        class_: str | None = None,
        truncation: float | None = None,
        directions: Mapping[str, float] | None = None,
    ) -> list[Image.Image]:
        """Draw ``steps`` images from one seed or latent to another, both ends among them.

        Args:
            start: a seed, or (Z,) numbers.
            end: the same.
            steps: at least 2.
            path: ``slerp``, equal angles on the sphere of latents, or ``linear``.
            class_: of all images; without it, that of ``start``.
            truncation: as of :meth:`draw`.
            directions: as of :meth:`draw`.
        """
        if steps < 2 or path not in interpolation.PATHS:
            raise ValueError(f"steps must be at least 2, and path one of {', '.join(interpolation.PATHS)}")
        (first, label), (last, _) = self._to_latent(start), self._to_latent(end)
        asked = conditions.find(self._model, [] if class_ is None else [class_], truncation, directions)
        if self.card.classes and not asked.labels:
            asked = asked._replace(labels=[label])
        return self._draw(interpolation.PATHS[path](first, last, steps), asked)

    def close(self) -> None:
        """End the threads that draw; a generator that is closed draws no more."""
        self._renderer.close()

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Generator {self._model.ref}, {self.card.width}×{self.card.height}>"

    def _draw(self, sources: Sequence[Any] | NDArray[Any], asked: Conditions) -> list[Image.Image]:
        if len(sources) == 0:
            return []
        if len(asked.labels) not in (0, 1, len(sources)):
            raise ValueError(f"class_ must be one name or {len(sources)} names, as many as images")
        given = [self._to_latent(source) for source in sources]
        if self.card.classes and not asked.labels:
            asked = asked._replace(labels=[label for _, label in given])
        request = RenderRequest(self._model, latents=[latent for latent, _ in given], **asked._asdict())
        images, _ = self._renderer.submit(request, ARRAYS, deadline=float("inf"))
        return [to_pillow(image) for image in images.result()]

    def _to_latent(self, source: Source) -> tuple[Latent, int]:
        """Return a latent, and the label that is its own: that of its seed, or else the first."""
        if isinstance(source, int | np.integer):
            seed, classes = _check_seed(int(source)), len(self.card.classes)
            return latents.with_label(seed, self.card.latent_dim, max(1, classes))
        latent = np.asarray(source, np.float32)
        if latent.shape != (self.card.latent_dim,) or not np.isfinite(latent).all():
            raise ValueError(f"a latent of {self._model.ref} is {self.card.latent_dim} finite numbers")
        return latent, 0


def _check_seed(seed: int) -> int:
    if not 0 <= seed < latents.SEEDS:
        raise ValueError(f"a seed is an integer from 0 to {latents.SEEDS - 1}, not {seed}")
    return seed
