"""How much faster is our step than the same step in plain float32? ``python -m benchmarks.training [--recipe cats]``

Both play the recipe's own networks, batch and objective, in turns of some seconds each, so that a busy neighbour on the
machine slows both alike; the ratio of the medians is what counts.
"""

import statistics
import time
from typing import Annotated

import torch
import typer

from training import device as devices
from training import recipe as recipes
from training.device import Device
from training.step import Game


def images_per_second(game: Game, reals: torch.Tensor, seconds: float) -> float:
    """Play steps for some seconds and return the real images seen in one."""
    seen, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        game.step(reals, seen)
        seen += len(reals)
    return seen / elapsed


def main(
    recipe: str = "cats",
    turns: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[float, typer.Option(min=0.1)] = 4.0,
    settings: Annotated[list[str] | None, typer.Option("--set")] = None,
) -> None:
    """Print both speeds and their ratio."""
    chosen, resolved = devices.choose("cpu"), recipes.load(recipe, settings or ())
    games = {device: Game(resolved, device) for device in (chosen, Device(chosen.torch, bfloat16=False))}
    shape = (resolved.images.channels, resolved.images.size, resolved.images.size)
    reals = torch.rand(next(iter(games.values())).images_per_step(0), *shape) * 2 - 1
    placed = {device: device.place(reals) for device in games}
    speeds: dict[Device, list[float]] = {device: [] for device in games}
    for device, game in games.items():
        images_per_second(game, placed[device], 1.0)  # oneDNN compiles its kernels on their first use
    for _ in range(turns):
        for device, game in games.items():
            speeds[device].append(images_per_second(game, placed[device], seconds))
    medians = [statistics.median(values) for values in speeds.values()]
    for device, median in zip(speeds, medians, strict=True):
        print(f"{recipe} on {device}: {median:,.0f} images/s (median of {turns})")
    print(f"ratio: {medians[0] / medians[-1]:.2f}")


if __name__ == "__main__":
    typer.run(main)
