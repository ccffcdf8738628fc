"""Compare the speed of our training step with a textbook implementation: ``python -m benchmarks.training``

Both train the same networks with the same batch and objective. Our step includes the check for non-finite gradients and
the EMA; it is measured in the default precision and in float32, as on a CPU without bfloat16. All three alternate in
turns of a few seconds, so that other load on the machine affects them equally; compare the ratios of the medians.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks import textbook
from training import device as devices
from training import recipe as recipes
from training.device import Device
from training.gan import GAN
from training.networks import count_parameters
from training.nonfinite import NonFiniteGuard

DCGAN = ("objective.real_label=1", "optimiser.critic_lr=2e-4")
WGAN_GP = ("critic.norm=none", "objective.name=wgan-gp", "objective.penalty=10", "objective.critic_steps=5")
PAIRS = {"dcgan": (textbook.DCGAN, DCGAN), "wgan-gp": (textbook.WGANGP, WGAN_GP)}
FLAGS = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2")


class Implementation(NamedTuple):
    """An implementation of the training step: the step, its number of real images, and its networks."""

    step: Callable[[], object]
    images: int
    networks: tuple[nn.Module, nn.Module]


def implementations(name: str, device: Device) -> dict[str, Implementation]:
    """Return the textbook implementation and ours, with equal networks."""
    gan, settings = PAIRS[name]
    made = {
        "textbook": _textbook(gan(device.torch)),
        "ours": _ours(settings, device),
        "ours in float32": _ours(settings, Device(device.torch, bfloat16=False)),
    }
    counts = {
        tuple(count_parameters(network) for network in implementation.networks) for implementation in made.values()
    }
    assert len(counts) == 1, f"not the same networks: {counts}"
    return made


def _textbook(gan: textbook.DCGAN) -> Implementation:
    reals = _noise(textbook.BATCH * gan.critic_steps).to(gan.device)
    return Implementation(lambda: gan.step(reals), len(reals), (gan.generator, gan.critic))


def _ours(settings: tuple[str, ...], device: Device) -> Implementation:
    measures = (f"generator.width={textbook.WIDTH}", f"critic.width={textbook.WIDTH}", f"batch={textbook.BATCH}")
    gan = GAN(recipes.load("cats", (*settings, *measures)), device)
    guard, reals = NonFiniteGuard(gan), device.place(_noise(gan.images_per_step(0)))
    return Implementation(lambda: guard.run(lambda: gan.step(reals, 0)), len(reals), (gan.generator, gan.critic))


def _noise(images: int) -> torch.Tensor:
    return torch.rand(images, 3, textbook.SIZE, textbook.SIZE) * 2 - 1


def images_per_second(implementation: Implementation, seconds: float) -> float:
    """Train for some seconds, at least one step, and return real images per second."""
    seen, elapsed, started = 0, 0.0, time.perf_counter()
    while not seen or elapsed < seconds:
        implementation.step()
        seen, elapsed = seen + implementation.images, time.perf_counter() - started
    return seen / elapsed


def measure(made: dict[str, Implementation], turns: int, seconds: float) -> dict[str, float]:
    """Return the median speed of each implementation in images per second."""
    for implementation in made.values():
        implementation.step()  # oneDNN compiles its kernels on their first use
    rounds = [[images_per_second(implementation, seconds) for implementation in made.values()] for _ in range(turns)]
    return dict(zip(made, map(statistics.median, zip(*rounds, strict=True)), strict=True))


def machine(device: Device) -> dict[str, object]:
    """Return the CPU, device, threads and torch version of this machine."""
    has = torch.cpu.get_capabilities()
    where = {"device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}
    return {"cpu": has.get("cpu_name"), "flags": [flag for flag in FLAGS if has.get(flag)], **where}


def main(
    turns: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="How long a turn is, but for a step that takes longer.")] = 4.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
) -> None:
    """Print images/s of the textbook's step and of ours, with their ratios, and again as a line of JSON."""
    chosen = devices.choose(device)
    speeds = {name: measure(implementations(name, chosen), turns, seconds) for name in PAIRS}
    table = Table("images/s (ratio)", *next(iter(speeds.values())), box=None, padding=(0, 2))
    for name, row in speeds.items():
        table.add_row(name, *(f"{speed:,.1f} ({speed / row['textbook']:.2f})" for speed in row.values()))
    Console().print(table)
    print(json.dumps(machine(chosen) | {"turns": turns, "seconds": seconds, "images_per_second": speeds}))


if __name__ == "__main__":
    typer.run(main)
