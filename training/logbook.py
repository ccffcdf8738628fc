"""Write the figures of a run (log.jsonl, TensorBoard), its sample grids, the timelapse and the progress line."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from training.events import Events
from training.files import append, write_atomically
from training.images import Pixels
from training.pictures import FRAMES, animation, evenly_spaced, grid, png, to_pixels
from training.run import Run

LINE_SECONDS = 60.0  # between progress lines if the output is not a terminal


class Averages:
    """Means of scalars over the steps since the last tick."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, stats: dict[str, Tensor]) -> None:
        """Add the scalars of one step; they stay on their device. Each is averaged over the steps that report it."""
        for name, value in stats.items():
            self._sums[name] = self._sums[name] + value.double() if name in self._sums else value.double()
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means, moved to the CPU in one transfer, and reset."""
        totals = torch.stack(list(self._sums.values())).tolist() if self._sums else []
        means = {name: total / self._counts[name] for name, total in zip(self._sums, totals, strict=True)}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far, for the checkpoint."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sums of a checkpoint."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


class Logbook:
    """The log and the sample grids of a run folder."""

    def __init__(self, run: Run, console: Console, columns: int | None = None) -> None:
        """Write to a run's folder; grids have ``columns`` images in a row, or are squares."""
        self._run, self._console, self._columns = run, console, columns
        self._file = run.path / "log.jsonl"
        self._events = Events(run.path)
        self._printed_at = time.monotonic()

    def rewind(self, images_seen: int) -> None:
        """Remove the lines that a killed run wrote after its last checkpoint; the resumed run writes them again."""
        if self._file.exists():
            lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["images"] <= images_seen]
            write_atomically(self._file, "".join(kept).encode())

    def tick(self, row: dict[str, Any], warnings: list[str]) -> None:
        """Append a line to log.jsonl, and print the warnings."""
        line = row | ({"warnings": warnings} if warnings else {})
        append(self._file, (json.dumps(line) + "\n").encode())
        self._events.scalars(row["images"], {name: value for name, value in row.items() if name != "images"})
        for warning in warnings:
            self._console.print(f"warning: {row['images']:,} images: {warning}", markup=False, soft_wrap=True)

    def progress(self, seen: int, total: int | None, speed: float) -> None:
        """Print a line a minute where no terminal shows the bar."""
        if self._console.is_terminal or time.monotonic() - self._printed_at < LINE_SECONDS:
            return
        self._printed_at = time.monotonic()
        rest = f" of {total:,}" if total else ""
        minutes = math.ceil(max(0, total - seen) / speed / 60) if total and speed else None
        left = "" if minutes is None else f", {minutes:,} {'minute' if minutes == 1 else 'minutes'} left"
        self._console.print(f"{seen:,}{rest} images, {speed:,.0f} images/s{left}", soft_wrap=True)

    def reals(self, pixels: Pixels) -> None:
        """Write reals.png: a grid of training images."""
        write_atomically(self._run.path / "reals.png", png(grid(pixels, self._columns)))

    def fakes(self, images: Tensor, images_seen: int) -> bytes:
        """Write a grid of images (N, C, S, S) in [-1, 1] as fakes-IMAGESSEEN.png, and return the PNG."""
        data = png(grid(to_pixels(images), self._columns))
        write_atomically(self._run.path / f"fakes-{images_seen:09d}.png", data)
        return data

    def snapshot(self, images: Tensor, images_seen: int) -> None:
        """Write the grid of a snapshot, to TensorBoard too, and timelapse.webp of all grids so far."""
        self._events.picture(images_seen, "fakes", self.fakes(images, images_seen))
        self.timelapse()

    def timelapse(self, frames: int = FRAMES) -> None:
        """Write timelapse.webp of at most ``frames`` of the grids so far, evenly spaced."""
        files = evenly_spaced(sorted(self._run.path.glob("fakes-*.png")), frames)
        write_atomically(self._run.path / "timelapse.webp", animation([Image.open(file) for file in files]))


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """Show a bar with images/s and the time left while the block runs, if the output is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]:,.0f} images/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=60) as progress:
        yield progress
