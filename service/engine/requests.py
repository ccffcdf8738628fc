"""What the engine is asked to draw: images of one model, from seeds or latents, or the frames of a walk."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import interpolation, latents
from service.engine.conditions import described
from service.engine.latents import Latent
from service.engine.model import Model
from service.engine.rows import Item

Image = NDArray[np.uint8]  # (H, W, C), C is 1 or 3
FRAME_MS = 50


@dataclass(frozen=True)
class RenderRequest:
    """Images of one model.

    Attributes:
        truncation: of a model that has it, 1 is off; of any other it must be 1.
        seeds: each from 0 to 2**32 - 1.
        latents: each (Z,) float32; used if there are no seeds.
        labels: numbers of classes: one for all images, or one for each. Without any, a seed draws its class, and a
            latent is of the first.
        directions: the amount along each of the model's, or none.
        scale: how many times as wide and high the images are sent.
        resample: how they are enlarged, as :mod:`service.formats.scaling` names it; None: as suits their size.
        milliseconds: of each frame in an animation.
    """

    model: Model
    truncation: float = 1.0
    seeds: Sequence[int] = ()
    latents: Sequence[Latent] = ()
    labels: Sequence[int] = ()
    directions: Sequence[float] = ()
    scale: int = 1
    resample: str | None = None
    milliseconds: int = FRAME_MS

    def __post_init__(self) -> None:
        """Refuse what the graph could not take; what clients ask for was checked before, by name."""
        card = self.model.card
        if self.labels and not 0 <= min(self.labels) <= max(self.labels) < len(card.classes):
            raise ValueError(f"a label of {self.model.ref} is out of range")
        if self.truncation != 1 and not card.truncation:
            raise ValueError(f"{self.model.ref} has no truncation")
        if self.directions and len(self.directions) != len(card.directions):
            raise ValueError(f"{self.model.ref} has {len(card.directions)} directions")

    def __len__(self) -> int:
        return len(self.seeds or self.latents)

    def items(self) -> Sequence[Any]:
        """Return what the batcher prepares, for each image: of a plain model the seeds or latents themselves."""
        sources: Sequence[int | Latent] = self.seeds or self.latents
        if self.model.plain:
            return sources
        one_for_all = [self.labels[0] if self.labels else None] * len(sources)
        labels = self.labels if len(self.labels) == len(sources) else one_for_all
        amounts = np.array(self.directions or [0] * len(self.model.card.directions), np.float32)
        return [Item(one, label, self.truncation, amounts) for one, label in zip(sources, labels, strict=True)]

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

    def class_of(self, index: int) -> str | None:
        """Return the name of the class of one image, or None where the model has no classes."""
        card = self.model.card
        if not card.classes:
            return None
        if self.labels:
            return card.classes[self.labels[index if len(self.labels) > 1 else 0]]
        seed = self.seeds[index] if self.seeds else None
        return card.classes[0 if seed is None else latents.label_of(seed, card.latent_dim, len(card.classes))]

    def classes(self, most: int) -> list[str]:
        """Return the classes of the first ``most`` images, or the one that all of them have; none without classes."""
        if not self.model.card.classes:
            return []
        count = 1 if len(self.labels) == 1 else min(most, len(self))
        return [name for name in map(self.class_of, range(count)) if name is not None]

    def amounts(self) -> dict[str, float]:
        """Return the amounts along directions that are not 0, by name."""
        return described(self.model.card, self.directions)

    def texts(self) -> dict[str, str]:
        """Return what it takes to draw the images again, as texts for a file's metadata."""
        return self._texts(",".join(map(str, self.seeds)), self.classes(len(self)))

    def texts_of(self, index: int) -> dict[str, str]:
        """Return what it takes to draw one of the images again."""
        seed, name = self.seed_of(index), self.class_of(index)
        return self._texts("" if seed is None else str(seed), [] if name is None else [name])

    def names(self) -> list[str]:
        """Return a file name, without extension, for each image: its seed, and its class if that was asked for.

        A name that is there already gets a suffix.
        """
        names = [seed_name(seed) for seed in self.seeds] or [f"latent{i:04d}" for i in range(len(self.latents))]
        if self.labels:
            slugs = [_slug(self.class_of(i), self.labels[i % len(self.labels)]) for i in range(len(names))]
            names = [f"{name}-{slug}" for name, slug in zip(names, slugs, strict=True)]
        if len(names) > len(set(names)):
            seen: Counter[str] = Counter()
            for i, name in enumerate(names):
                names[i] += f"-{seen[name]}" if seen[name] else ""
                seen[name] += 1
        return names

    def title(self) -> str:
        """Return a file name, without extension, for all images together."""
        names = self.names()
        return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"

    def _texts(self, seed: str, classes: Sequence[str]) -> dict[str, str]:
        card = self.model.card
        texts = {"model": card.name, "version": str(card.version), "truncation": repr(self.truncation)}
        if classes:
            texts["class"] = classes[0] if len(classes) == 1 else json.dumps(classes, ensure_ascii=False)
        if amounts := self.amounts():
            texts["directions"] = json.dumps(amounts, ensure_ascii=False)
        if self.scale > 1:
            texts["scale"] = str(self.scale)
        return texts | {"seed": seed} if seed else texts


@dataclass(frozen=True)
class Interpolation(RenderRequest):
    """The frames from one latent to another, and on to further ones.

    Attributes:
        points: the seeds of the latents that the walk passes; None for one that was given as a latent.
        path: the name of a path in :mod:`service.engine.interpolation`.
        loop: whether the walk ends before the first point, for which it begins again.
    """

    points: tuple[int | None, ...] = (None, None)
    path: str = "slerp"
    loop: bool = False

    @property
    def columns(self) -> int:
        """Return the number of frames: tiled, they are one row."""
        return len(self)

    def seed_of(self, index: int) -> int | None:
        """Return the seed of a frame that shows a point, if it has one; the others have none."""
        places = interpolation.places(len(self.points), len(self), self.loop)
        return dict(zip(places, self.points, strict=True)).get(index)

    def all_seeds(self) -> Sequence[int]:
        """Return the seeds of the points, or none if one is a latent."""
        return () if None in self.points else tuple(seed for seed in self.points if seed is not None)

    def texts(self) -> dict[str, str]:
        """Return what it takes to draw the frames again."""
        walk = f"{self.title()}, {self.path}, {len(self)} steps{', loop' if self.loop else ''}"
        return self._texts("", self.classes(len(self))) | {"walk": walk}

    def names(self) -> list[str]:
        """Return a file name, without extension, for each frame."""
        return [f"frame{i:04d}" for i in range(len(self))]

    def title(self) -> str:
        """Return a file name, without extension, for all frames together."""
        return "-to-".join("latent" if seed is None else seed_name(seed) for seed in self.points)


def seed_name(seed: int) -> str:
    """Return the file name that StyleGAN's tools give to the image of a seed: ``seed0042``."""
    return f"seed{seed:04d}"


def _slug(name: str | None, label: int) -> str:
    """Return a class as a part of a file name that every system takes: its name, or else its number."""
    return name if name and re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name) else f"class{label}"
