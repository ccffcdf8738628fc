"""Which snapshot of a run draws best, and how soon? ``python -m benchmarks.snapshots RUN FOLDER [--than model.onnx]``

The last one need not be the best: critics that have memorised their few images lead a generator astray. With ``--than``
another model is scored first, and the minutes until the run draws as well are printed last.
"""

import json
from itertools import accumulate, pairwise
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
    than: Annotated[Path | None, typer.Option(help="A model.onnx to be as good as.")] = None,
) -> None:
    """Print the figures of a run's snapshots, a line each."""
    torch.set_num_threads(1)
    run = Run.open(path)
    judge = Judge(images.read(data, run.config().recipe.images).images)
    minutes = minutes_of(path)
    print("snapshot", "minutes", *FIGURES, sep="\t")

    def score(drawn: Path, spent: str) -> float:
        figures = judge(open_sampler(drawn).draw(SAMPLES))
        print(drawn.name, spent, *(figures[name] for name in FIGURES), sep="\t", flush=True)
        return float(figures["kd"].split()[0])

    wanted, reached = score(than, "") if than else None, None
    for snapshot in run.snapshots()[::-1][::every][::-1]:
        spent = max(spent for seen, spent in minutes if seen <= int(snapshot.stem.rpartition("-")[2]))
        kd = score(snapshot, f"{spent:.1f}")
        if wanted is not None and reached is None and kd <= wanted:
            reached = spent
    if wanted is not None:
        print(f"as good as {than}: " + (f"after {reached:.1f} minutes" if reached is not None else "never"))


def minutes_of(path: Path) -> list[tuple[int, float]]:
    """Return the images of each line of a run's log, and how many minutes its steps had taken by then, by the clock."""
    rows = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    seen = [0, *(row["images"] for row in rows)]
    took = [
        (now - before) / row["images_per_second"] / 60 for row, (before, now) in zip(rows, pairwise(seen), strict=True)
    ]
    return list(zip(seen, accumulate(took, initial=0.0), strict=True))


if __name__ == "__main__":
    typer.run(main)
