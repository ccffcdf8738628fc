"""Print the plan of a run before it starts: networks, data, device, and an estimate of speed and memory."""

import sys
import time
from collections.abc import Iterator
from operator import itemgetter

import torch
from rich.console import Console
from torch import nn

from training import networks
from training.classes import warnings as class_warnings
from training.device import Device
from training.gan import GAN
from training.images import Report
from training.nonfinite import NonFiniteGuard
from training.recipe import Recipe
from training.run import Config

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEASURED_STEPS, MEASURED_SECONDS = 8, 10.0  # whichever is reached first, after one untimed step
LISTED = 10  # skipped files that are printed; data.json lists all


def show(config: Config, report: Report, device: Device, console: Console, *, fields: bool) -> None:
    """Print the recipe (all its ``fields``, or what it is for), the networks, the data and the device.

    Raises:
        InputError: the networks of the recipe do not fit together.
    """
    recipe = config.recipe
    if fields:
        console.print_json(config.model_dump_json())
    else:
        shape = f"{recipe.images.size}×{recipe.images.size}, {'colour' if recipe.images.channels == 3 else 'grey'}"
        budget = f"{config.minutes:g} minutes" if config.minutes else f"{recipe.kimg:g} kimg"
        console.print(f"{config.name}: {recipe.summary}; {shape}, {budget}", soft_wrap=True, markup=False)
    for name, network in _networks(recipe, len(report.classes)):
        console.print(f"{name}: {networks.count_parameters(network):,} parameters")
    for line in data_lines(report, recipe.images.size):
        console.print(line, soft_wrap=True, markup=False)
    pictures, snapshots = recipe.picture_images(), recipe.snapshot_images(report.count)
    console.print(f"a grid every {pictures:,.0f} images, a snapshot every {snapshots:,.0f} images")
    console.print(f"device: {device}, {torch.get_num_threads()} threads")


def _networks(recipe: Recipe, classes: int) -> Iterator[tuple[str, nn.Module]]:
    yield "generator", networks.build_generator(recipe, classes)
    yield "critic", networks.build_critic(recipe, classes)
    if recipe.critic.reconstruction:
        yield "decoder", networks.build_decoder(recipe)


def data_lines(report: Report, size: int) -> Iterator[str]:
    """Yield lines that describe a source: counts, modes, sizes, and skipped files with the reason."""
    yield f"data: {report.count:,} images from {report.source}, {len(report.skipped)} skipped"
    yield f"  modes: {', '.join(f'{mode} {count:,}' for mode, count in report.modes.items())}"
    sizes = sorted(report.sizes, key=_area)
    yield f"  sizes: {sizes[0]}" + (f" to {sizes[-1]}, {len(sizes):,} different" if len(sizes) > 1 else "")
    if enlarged := sum(count for name, count in report.sizes.items() if min(_dimensions(name)) < size):
        yield f"  {enlarged:,} have a side shorter than {size} pixels and are enlarged"
    yield from _class_lines(report)
    yield from _notes(report)
    for skipped in report.skipped[:LISTED]:
        yield f"  skipped {skipped.file}: {skipped.reason}"
    if len(report.skipped) > LISTED:
        yield f"  … and {len(report.skipped) - LISTED} more, listed in data.json"


def _class_lines(report: Report) -> Iterator[str]:
    if report.classes:
        counted = [f"{name} {count:,}" for name, count in report.classes.items()]
        rest = f" and {len(counted) - LISTED} more" if len(counted) > LISTED else ""
        yield f"  {len(counted):,} classes: {', '.join(counted[:LISTED])}{rest}"
        yield from (f"  warning: {sentence}" for sentence in class_warnings(report.classes))
    elif report.folders > 1:
        yield (
            f"  the images are in {report.folders:,} folders and are trained on without classes; "
            "--classes folders makes each folder a class that can be asked for"
        )


def _notes(report: Report) -> Iterator[str]:
    """Yield what a user may not expect of the images: what is cut off, what was transparent, what is there twice."""
    if report.cut_off:
        file, share = max(report.cut_off.items(), key=itemgetter(1))
        more = f", and half or more of {len(report.cut_off) - 1:,} more" if len(report.cut_off) > 1 else ""
        yield f"  {share:.0%} of {file} is cut off{more}: --crop pad keeps whole images, or remove these"
    if report.transparent:
        yield f"  {report.transparent:,} have transparency and are put on a plain colour: --background chooses it"
    if report.duplicates:
        file, first = next(iter(report.duplicates.items()))
        yield f"  {len(report.duplicates):,} repeat another, as {file} does {first}: remove them, or each counts twice"


def _dimensions(name: str) -> tuple[int, int]:
    width, height = name.split("x")
    return int(width), int(height)


def _area(name: str) -> int:
    width, height = _dimensions(name)
    return width * height


def estimate(recipe: Recipe, count: int, device: Device, speed: float) -> Iterator[str]:
    """Yield lines with the estimated time and memory of a run at a measured speed, in images a second."""
    minutes = recipe.kimg * 1000 / speed / 60
    took = f"{minutes:,.0f} minutes for {recipe.kimg:g} kimg"
    yield f"estimate: {speed:,.0f} images/s, {took}, if this machine stays as busy as it is now"
    if peak := _peak_bytes(device):
        # On the CPU the peak includes the data set; on a GPU it is added.
        images = 0 if device.torch.type == "cpu" else count * recipe.images.channels * recipe.images.size**2
        yield f"estimate: {(peak + images) / 2**30:.1f} GiB of memory"


def images_per_second(recipe: Recipe, device: Device, classes: int = 0) -> float:
    """Run a few steps on random images of ``classes``, and return how many real images the critic sees in a second."""
    gan = GAN(recipe, device, classes)
    shape = (gan.images_per_step(0), recipe.images.channels, recipe.images.size, recipe.images.size)
    reals = device.place(torch.rand(shape, device=device.torch) * 2 - 1)
    labels = torch.arange(len(reals), device=device.torch) % classes if classes else None

    def finish() -> float:
        if reals.device.type == "cuda":
            torch.cuda.synchronize(reals.device)
        return time.perf_counter()

    guard = NonFiniteGuard(gan)
    guard.run(lambda: gan.step(reals, 0, labels))  # allocates memory and the optimisers' state
    started = finish()
    done, now = 0, started
    while done < MEASURED_STEPS and now - started < MEASURED_SECONDS:
        guard.run(lambda: gan.step(reals, 0, labels))
        done, now = done + 1, finish()
    return done * len(reals) / (now - started)


def _peak_bytes(device: Device) -> int:
    """Return the peak memory of the GPU or of this process in bytes; 0 if unknown."""
    if device.torch.type == "cuda":
        return torch.cuda.max_memory_allocated(device.torch)
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
