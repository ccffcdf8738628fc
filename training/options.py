"""The options of ``python -m training train``, by name: its signature in ``__main__`` stays readable."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training import auto, configs
from training import classes as image_classes
from training import recipe as recipes

CHOICES = " ".join(f"{field}: {', '.join(table)}." for field, table in recipes.CHOICES.items())

Data = Annotated[Path | None, typer.Option(help="Folder or zip of images, or an MNIST-type idx file.")]
Recipe = Annotated[
    str,
    typer.Option(help=f"One of {', '.join(recipes.names())}, or the path of a .yaml file; auto looks at the images."),
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="HOW", help=f"Train with classes; where an image's class is found: {image_classes.KINDS}."),
]
Size = Annotated[int | None, typer.Option(help="Height and width of the images, in pixels.")]
Crop = Annotated[
    configs.Crop | None, typer.Option(help="How images are made square: cropped, or padded with the background.")
]
Background = Annotated[
    str | None, typer.Option(metavar="COLOUR", help="Behind transparency and padding: a name or #rrggbb.")
]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, help=f"Train for about this many minutes; auto: {auto.MINUTES:g}.")
]
Kimg = Annotated[
    float | None, typer.Option(min=0.001, help="Train on this many thousand images; --resume counts from the start.")
]
Out = Annotated[Path, typer.Option(help="Parent folder of run folders.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed of weights, data order and latents.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option()]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=f"Change a field of the recipe. {CHOICES}")
]
InitFrom = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Initialise the networks from this run folder, where shapes fit.")
]
Resume = Annotated[
    Path | None, typer.Option(help="Resume this run folder; --data names moved images, --kimg extends it.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and an estimate, and train nothing.")]
