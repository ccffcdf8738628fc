"""Which snapshot of a run draws best? ``python -m benchmarks.snapshots RUN FOLDER``

The last one need not be: critics that have memorised their few images lead a generator astray.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.pictures import FIGURES, SAMPLES, Judge
from training import images
from training.metrics.samples import open_sampler
from training.run import Run


def main(
    path: Annotated[Path, typer.Argument(help="A run folder.")],
    data: Annotated[Path, typer.Argument(help="What it was trained on.")],
    every: Annotated[int, typer.Option(min=1, help="Score one snapshot in so many, counted from the last.")] = 1,
) -> None:
    """Print the figures of a run's snapshots, a line each."""
    torch.set_num_threads(1)
    run = Run.open(path)
    judge = Judge(images.read(data, run.config().recipe.images).images)
    print("snapshot", *FIGURES, sep="\t")
    for snapshot in run.snapshots()[::-1][::every][::-1]:
        figures = judge(open_sampler(snapshot).draw(SAMPLES))
        print(snapshot.name, *(figures[name] for name in FIGURES), sep="\t", flush=True)


if __name__ == "__main__":
    typer.run(main)
