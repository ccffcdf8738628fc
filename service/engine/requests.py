"""What the engine is asked to draw: images of one model, from seeds or latents, or frames between two latents."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.latents import Latent
from service.engine.library import Model

Image = NDArray[np.uint8]  # (H, W, C), C is 1 or 3


@dataclass(frozen=True)
class RenderRequest:
    """Images of one model.

    Attributes:
        truncation: the factor by which each latent is multiplied, 0 to 2.
        seeds: each from 0 to 2**32 - 1.
        latents: each (Z,) float32; used if there are no seeds.
    """

    model: Model
    truncation: float = 1.0
    seeds: Sequence[int] = ()
    latents: Sequence[Latent] = ()

    def __len__(self) -> int:
        return len(self.seeds or self.latents)

    @property
    def columns(self) -> int:
        """Return how many images stand in a row where several are tiled into one: the tiling is nearly square."""
        return math.ceil(math.sqrt(len(self)))

    def seed_of(self, index: int) -> int | None:
        """Return the seed of one image, or None if it comes from a latent."""
        return self.seeds[index] if self.seeds else None

    def all_seeds(self) -> Sequence[int]:
        """Return the seeds that draw all the images again; none if any comes from a latent."""
        return self.seeds

    def texts(self) -> dict[str, str]:
        """Return what it takes to draw the images again, as texts for a file's metadata."""
        return self._texts(",".join(map(str, self.seeds)))

    def texts_of(self, index: int) -> dict[str, str]:
        """Return what it takes to draw one of the images again."""
        seed = self.seed_of(index)
        return self._texts("" if seed is None else str(seed))

    def names(self) -> list[str]:
        """Return a file name, without extension, for each image; a repeated seed gets a suffix."""
        if not self.seeds:
            return [f"latent{i:04d}" for i in range(len(self.latents))]
        seen: Counter[int] = Counter()
        names = []
        for seed in self.seeds:
            names.append(seed_name(seed) + (f"-{seen[seed]}" if seen[seed] else ""))
            seen[seed] += 1
        return names

    def title(self) -> str:
        """Return a file name, without extension, for all images together."""
        names = self.names()
        return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"

    def _texts(self, seed: str) -> dict[str, str]:
        card = self.model.card
        texts = {"model": card.name, "version": str(card.version), "truncation": repr(self.truncation)}
        return texts | {"seed": seed} if seed else texts


@dataclass(frozen=True)
class Interpolation(RenderRequest):
    """The frames from one latent to another.

    Attributes:
        ends: the seeds of the first and the last frame; None for an end that was given as a latent.
        path: the name of a path in :mod:`service.engine.interpolation`.
    """

    ends: tuple[int | None, int | None] = (None, None)
    path: str = "slerp"

    @property
    def columns(self) -> int:
        """Return the number of frames: tiled, they are one row."""
        return len(self)

    def seed_of(self, index: int) -> int | None:
        """Return the seed of the first or the last frame, if it has one; the others have none."""
        return {0: self.ends[0], len(self) - 1: self.ends[1]}.get(index)

    def all_seeds(self) -> Sequence[int]:
        """Return the seeds of both ends, or none if one is a latent."""
        return () if None in self.ends else tuple(seed for seed in self.ends if seed is not None)

    def texts(self) -> dict[str, str]:
        """Return what it takes to draw the frames again."""
        return self._texts("") | {"walk": f"{self.title()}, {self.path}, {len(self)} steps"}

    def names(self) -> list[str]:
        """Return a file name, without extension, for each frame."""
        return [f"frame{i:04d}" for i in range(len(self))]

    def title(self) -> str:
        """Return a file name, without extension, for all frames together."""
        return "-to-".join("latent" if seed is None else seed_name(seed) for seed in self.ends)


def seed_name(seed: int) -> str:
    """Return the file name that StyleGAN's tools give to the image of a seed: ``seed0042``."""
    return f"seed{seed:04d}"
