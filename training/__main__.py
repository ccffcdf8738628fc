"""The command line: ``python -m training train | sample | evaluate | encoder | project | recipes | data``."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import numpy as np
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

try:
    import torch  # noqa: F401 (to say so in one sentence)
except ModuleNotFoundError:  # an environment for serving only
    what = "pip install 'nelumbo[train]', or in a clone: make train-env; source .venv-train/bin/activate"
    print(f"error: training needs PyTorch, which is not installed; run: {what}", file=sys.stderr)
    raise SystemExit(2) from None

from training import auto, configs, data_commands, distributed, latent_commands, options, report, start
from training import classes as image_classes
from training import evaluate as evaluation
from training import recipe as recipes
from training.configure import configure
from training.errors import InputError, TrainingError
from training.files import write_atomically
from training.metrics import meaning
from training.metrics.samples import sampler_of
from training.pictures import grid, png
from training.run import Run
from training.seeds import draw, parse_seeds

if TYPE_CHECKING:
    from training.metrics.by_class import ClassScore

app = typer.Typer(
    help="Train, sample and evaluate image generators (GANs).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_commands.app, name="data")
app.command()(latent_commands.encoder)
app.command()(latent_commands.project)
console = Console(highlight=False)


@app.command()
def train(
    context: typer.Context,
    data: options.Data = None,
    recipe: options.Recipe = auto.NAME,
    classes: options.Classes = None,
    size: options.Size = None,
    crop: options.Crop = None,
    background: options.Background = None,
    minutes: options.Minutes = None,
    kimg: options.Kimg = None,
    out: options.Out = Path("runs"),
    seed: options.Seed = 0,
    device: options.Device = "auto",
    settings: options.Settings = None,
    init_from: options.InitFrom = None,
    resume: options.Resume = None,
    dry_run: options.DryRun = False,
) -> Path | None:
    """Train a generator on a folder of images."""
    distributed.init()
    console.quiet = distributed.rank() > 0
    if resume is not None:
        _refuse_with_resume(_given(context))
        ended = start.resume(resume, data, kimg, console, dry_run=dry_run)
    else:
        if data is None:
            raise InputError("--data is missing: pass a folder or zip of images or an idx file, or --resume a run")
        _check_budget(minutes, kimg)
        fields = {"images__size": size, "images__crop": crop, "images__background": background, "kimg": kimg}
        config, weights = configure(
            data,
            recipe,
            settings or (),
            fields,
            minutes=minutes,
            classes=classes,
            seed=seed,
            device=device,
            init_from=init_from,
            say=_say,
        )
        ended = start.begin(out, config, weights, console, dry_run=dry_run)
    if not ended.finished:
        raise typer.Exit(130)
    return ended.run


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, markup=False)


def _check_budget(minutes: float | None, kimg: float | None) -> None:
    if minutes and kimg:
        raise InputError("--minutes cannot be combined with --kimg")
    if minutes == math.inf:
        raise InputError("--minutes must be finite; Ctrl-C stops a run earlier and saves it")


def _given(context: typer.Context) -> list[str]:
    """Return the names of the options on the command line."""
    found = {
        parameter.opts[0]: context.get_parameter_source(parameter.name or "") for parameter in context.command.params
    }
    return [option for option, source in found.items() if source and source.name == "COMMANDLINE"]


def _refuse_with_resume(given: list[str]) -> None:
    if others := [option for option in given if option not in ("--resume", "--dry-run", "--data", "--kimg")]:
        raise InputError(f"--resume uses the run's own settings and cannot be combined with {', '.join(others)}")


@app.command("recipes")
def list_recipes() -> None:
    """List the recipes, one line each."""
    for name in recipes.names():
        console.print(f"{name:<16}{recipes.load(name).summary}", soft_wrap=True)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="A run folder, or one of its generator-*.pt.")],
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0-63 or 1,5,9-12.")] = "0-63",
    names: Annotated[
        list[str] | None, typer.Option("--class", help="Draw each seed in this class; repeatable, a row for each.")
    ] = None,
    each_class: Annotated[bool, typer.Option("--each-class", help="Draw each seed in every class.")] = False,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("grid.png"),
) -> None:
    """Draw a grid of images with a run's latest generator; a seed draws as in the service with truncation 1."""
    snapshot = Run.open(run).load_generator()
    latents, labels = draw(parse_seeds(seeds), snapshot.recipe.generator.latent_dim, len(snapshot.classes))
    rows = [image_classes.find(name, snapshot.classes) for name in names or ()]
    rows = list(range(len(snapshot.classes))) if each_class else rows
    columns = len(latents) if rows else None
    if rows:
        latents, labels = np.tile(latents, (len(rows), 1)), np.repeat(rows, len(latents))
    pixels = sampler_of(snapshot).render_all(latents, labels)
    write_atomically(out, png(grid(pixels, columns)))
    console.print(f"{len(latents)} images at {snapshot.images_seen:,} images seen: {out}", soft_wrap=True)


@app.command()
def evaluate(
    model: Annotated[
        Path, typer.Argument(help="A model.onnx, a run folder (its latest generator), or a generator-*.pt.")
    ],
    data: Annotated[Path, typer.Option(help="The training images: a folder, a zip or an idx file.")],
    samples: Annotated[
        int, typer.Option(min=16, help="Number of samples; at most half the number of images.")
    ] = 10_000,
    crop: Annotated[configs.Crop | None, typer.Option(help="As in training; a run folder stores it.")] = None,
    background: Annotated[str | None, typer.Option(metavar="COLOUR", help="The same.")] = None,
    classes: Annotated[str | None, typer.Option(metavar="HOW", help="As in training; a run folder stores it.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSON file to write, for python -m export onnx --metrics; default: evaluation.json, in a run's folder."
        ),
    ] = None,
    stack: Annotated[bool, typer.Option("--stacked", help="Count modes of Stacked MNIST (of 1000).")] = False,
    inception: Annotated[
        Path | None, typer.Option(help="Path of inception-2015-12-05.pt, for fid (docs/evaluate.md).")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Compute only this metric; repeatable. Default: all that apply.")
    ] = None,
) -> None:
    """Score samples of a generator against real images; every score has a floor and a control for mode collapse."""
    is_run = model.is_dir()
    out = out or (model if is_run else Path()) / report.EVALUATION
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist")
    if stack and inception:
        raise InputError("--stacked cannot be combined with --inception")
    with console.status("Drawing and scoring samples …"):
        if stack:
            result = evaluation.evaluate_stacked(model, data, samples)
        else:
            result = evaluation.evaluate(model, data, samples, inception, crop, background, metric or (), classes)
    _show(result, out, evaluation.save(result, out))
    if is_run and out == model / report.EVALUATION:
        run = Run.open(model)
        run.write_text("report.html", report.build(run))


def _show(result: evaluation.Evaluation, out: Path, pairs: Path | None) -> None:
    """Print the scores, the file that holds them, and the picture of the samples closest to training images."""
    names = Column("", no_wrap=True)
    table = Table(names, "samples", "real images", "collapsed", "good", box=None, padding=(0, 1))
    for row in result.scores:
        what, error = meaning.of(row.name), "" if row.error is None else f" ± {row.error:.2g}"
        figures = (f"{row.value:.3g}{error}", f"{row.floor:.3g}", f"{row.collapsed:.3g}")
        table.add_row(row.name, *figures, what.good if what else "")
    console.print(table)
    if result.classes:
        console.print(_class_table(result.classes))
    for sentence in result.sentences():
        console.print(sentence, soft_wrap=True)
    console.print(result.note, soft_wrap=True)
    console.print(f"{result.scores[0].samples:,} samples: {out}", soft_wrap=True)
    if pairs:
        console.print(f"The 16 samples closest to a training image, each beside it: {pairs}", soft_wrap=True)


def _class_table(classes: "Sequence[ClassScore]") -> Table:
    table = Table("class", "samples", "read as asked", "real images read", "kernel distance", box=None, padding=(0, 2))
    for row in classes:
        distance = "" if row.distance is None else f"{row.distance:.4g}"
        table.add_row(Text(row.name), f"{row.samples:,}", f"{row.asked:.2%}", f"{row.real:.2%}", distance)
    total = sum(row.samples for row in classes)
    table.add_row("all", f"{total:,}", f"{sum(row.asked * row.samples for row in classes) / total:.2%}", "", "")
    return table


def main() -> NoReturn:
    """Run the command line; exit code 0: done, 1: failed, 2: wrong input, 130: stopped by the user."""
    try:
        app(prog_name="python -m training")
    except TrainingError as error:
        # All processes of a run raise it; none may exit before the first one has printed it.
        sentence = f"error: {error}"
        distributed.on_first_rank(lambda: print(sentence, file=sys.stderr))
        distributed.shutdown()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()
