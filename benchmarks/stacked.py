"""How many of the thousand modes of Stacked MNIST does a recipe cover? ``python -m benchmarks.stacked --data mnist``

Makes the images, trains on them for some minutes, and counts the modes of 26,000 samples, as the published figures do.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

SAMPLES = 26_000  # Lin et al. 2018, section 4.2


def main(
    data: Annotated[Path, typer.Option(help="The folder of MNIST.")],
    minutes: Annotated[float, typer.Option(min=0.01)] = 60,
    recipe: Annotated[str, typer.Option()] = "digits-best",
    out: Annotated[Path, typer.Option(help="Where the images and the run folder are made.")] = Path("runs"),
    samples: Annotated[int, typer.Option(min=16)] = SAMPLES,
    run: Annotated[Path | None, typer.Option(help="Count the modes of this run, trained before.")] = None,
) -> None:
    """Train, count, and print a row of the table in docs/evaluate.md."""
    if run is None:
        run = train(data, minutes, recipe, out)
    counted = run / "stacked.json"
    training("evaluate", run, "--data", data, "--stacked", "--samples", samples, "--out", counted)
    figures = {figure["name"]: figure["value"] for figure in json.loads(counted.read_bytes())}
    images = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["images"]
    cells = (
        f"`{recipe}`, {images / 1000:,.0f} kimg",
        f"{figures['stacked-modes']:.0f}",
        f"{figures['stacked-kl']:.2f}",
    )
    print(f"| {' | '.join(cells)} |")


def train(data: Path, minutes: float, recipe: str, out: Path) -> Path:
    """Train on stacked digits; return the run folder."""
    out.mkdir(parents=True, exist_ok=True)
    archive, before = out / "stacked.zip", set(out.glob("*/"))
    if not archive.exists():
        training("data", "stacked", "--data", data, "--out", archive)
    options = ("--minutes", minutes, "--set", "images.channels=3", "--out", out)
    training("train", "--data", archive, "--recipe", recipe, *options)
    (run,) = set(out.glob("*/")) - before
    return run


def training(*arguments: object) -> None:
    """Run a command of training in a process of its own."""
    subprocess.run([sys.executable, "-m", "training", *map(str, arguments)], check=True)


if __name__ == "__main__":
    typer.run(main)
