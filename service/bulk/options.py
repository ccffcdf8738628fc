"""The options of ``python -m service generate``, by name, and what they ask for together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from service.errors import ServiceError

Out = Annotated[
    Path, typer.Option(help="With --seed a .png, .jpg, .webp, .gif; else a folder, .zip, .tar, faces-{0000}.tar.")
]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="The seed of one image.")]
Seeds = Annotated[str | None, typer.Option(help="The seeds of many images, such as 0-999 or 1,5,9-12.")]
ModelName = Annotated[
    str | None,
    typer.Option(help="Model, such as digits or digits@1. Default: NELUMBO_DEFAULT_MODEL, or the first by name."),
]
Class = Annotated[str | None, typer.Option("--class", help="Class of all images. Default: each seed draws its class.")]
Classes = Annotated[
    str | None, typer.Option(help="Classes in each of which all --seeds are drawn, as A,B,C or all: a folder each.")
]
PerClass = Annotated[int | None, typer.Option(min=1, help="Images of each of --classes, or of all, to a folder each.")]
Truncation = Annotated[
    float | None,
    typer.Option(
        min=0, max=2, help="Below 1, images are safer and more alike, where the model has it. Default: the model's own."
    ),
]
Direction = Annotated[
    list[str] | None, typer.Option(help="Amount along a direction, as NAME=1.5; may be given several times.")
]
ShardSize = Annotated[int | None, typer.Option(min=1, help="Images in each faces-{0000}.tar. Default: 1000.")]
Shard = Annotated[
    str | None,
    typer.Option(help="Part of the files to write, such as 3/16; 16 machines, each its own, write all of them."),
]


@dataclass(frozen=True)
class Options:
    """What the command line says; names are those of its options."""

    out: Path
    seed: int | None
    seeds: str | None
    model: str | None
    class_: str | None
    classes: str | None
    per_class: int | None
    truncation: float | None
    direction: Sequence[str]
    shard_size: int | None
    shard: str | None = None

    def check(self) -> None:
        """Raise ServiceError for options that exclude each other."""
        if sum(given is not None for given in (self.seed, self.seeds, self.per_class)) != 1:
            raise ServiceError("give one of --seed 42, --seeds 0-999 and --per-class 100")
        if self.class_ is not None and (self.classes is not None or self.per_class is not None):
            raise ServiceError("--class is for all images; give it without --classes and --per-class")
        if self.classes is not None and self.seed is not None:
            raise ServiceError("--classes makes many images; give --seeds or --per-class with it")
        if self.shard is not None and self.seed is not None:
            raise ServiceError("--shard is a part of many images; give --seeds or --per-class with it")

    def amounts(self) -> dict[str, float]:
        """Return the amounts of --direction by name; raises ServiceError."""
        try:
            pairs = [one.rpartition("=") for one in self.direction]
            return {name: float(amount) for name, _, amount in pairs}
        except ValueError as error:
            raise ServiceError(f"--direction {' '.join(self.direction)}: write NAME=1.5") from error
