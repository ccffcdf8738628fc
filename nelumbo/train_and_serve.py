"""``nelumbo train --serve``: trains, then looks, judges, exports and serves, as one would by hand."""

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from service.contract.card import NAME_PATTERN
from training.__main__ import evaluate, sample, train
from training.configs import Crop
from training.errors import InputError
from training.run import Run

SERVE = Annotated[
    bool,
    typer.Option(
        "--serve", help="When done, draw a grid, score it, export to models/, refine, and serve: named as the data is."
    ),
]


@functools.wraps(train)
def train_and_serve(*args: Any, serve: bool = False, **given: Any) -> None:
    """Train and, with ``serve``, do what comes next."""
    if serve and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--serve is for one process; with torchrun, export and serve when the run is done")
    run = train(*args, **given)
    if serve and run is not None:
        follow_up(run)


def with_option(command: Callable[..., None], name: str, kind: Any) -> Callable[..., None]:
    """Return a command that wraps another with one more option, as Typer reads it from signature and annotations."""
    signature = inspect.signature(command)
    option = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
    described: Any = command
    described.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])
    described.__annotations__ = {**command.__annotations__, name: kind}
    return command


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(with_option(train_and_serve, "serve", SERVE))


def follow_up(run: Path) -> None:
    """Look at a run, judge it, export it and serve it; does not return."""
    from export.__main__ import onnx as export

    config = Run.open(run).config()
    data = Path(config.data)
    name, scores = model_name(data), run / "evaluation.json"
    print(f"--serve does all three now, refines the model before it serves it, and calls it {name}.", flush=True)
    sample(run, out=run / "grid.png")
    try:
        evaluate(run, data, out=scores)
    except InputError as error:  # too few images, perhaps
        print(f"warning: not scored: {error}", file=sys.stderr)
    export(run, name, metrics=scores if scores.exists() else None)
    refine_newest(name, data, config.recipe.images.crop)
    # A process of its own: a server needs none of what training has in memory.
    os.execv(sys.executable, [sys.executable, "-m", "nelumbo", "serve", "--default-model", name])  # noqa: S606


def refine_newest(name: str, data: Path, crop: Crop) -> None:
    """Write a refined version of a model's newest one, if that can be refined."""
    from export import store
    from export.__main__ import refine
    from export.errors import ExportError
    from service.contract import MODEL_FILE

    models = Path("models")
    newest = models / name / str(store.next_version(models, name) - 1) / MODEL_FILE
    try:
        refine(newest, data, crop=crop)
    except ExportError as error:
        print(f"not refined: {error}", file=sys.stderr)


def model_name(data: Path) -> str:
    """Return a model's name that is like that of its images: ``My Cats.zip`` becomes ``my-cats``."""
    stem = data.resolve().name.split(".")[0].lower()
    name = re.sub(r"[^a-z0-9_]+", "-", stem).strip("-_")
    return name if re.fullmatch(NAME_PATTERN, name) else "mine"
