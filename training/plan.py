"""What a run is about to do, told before it starts: the networks, the data as it was found, the device."""

from collections.abc import Iterator

import torch
from rich.console import Console

from training import networks
from training.device import Device
from training.images import Report
from training.run import Config

LISTED = 10  # skipped files that are printed; data.json has them all


def show(config: Config, report: Report, device: Device, console: Console) -> None:
    """Print the configuration and what it means on this data and device."""
    console.print_json(config.model_dump_json())
    for name, build in (("generator", networks.build_generator), ("critic", networks.build_critic)):
        console.print(f"{name}: {networks.count_parameters(build(config.recipe)):,} parameters")
    for line in data_lines(report, config.recipe.images.size):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"device: {device}, {torch.get_num_threads()} threads")


def data_lines(report: Report, size: int) -> Iterator[str]:
    """Tell what a source held and what became of it: counts, modes, sizes, and what was skipped and why."""
    yield f"data: {report.count:,} images from {report.source}, {len(report.skipped)} skipped"
    yield f"  modes: {', '.join(f'{mode} {count:,}' for mode, count in report.modes.items())}"
    sizes = sorted(report.sizes, key=_area)
    yield f"  sizes: {sizes[0]}" + (f" to {sizes[-1]}, {len(sizes):,} different ones" if len(sizes) > 1 else "")
    if enlarged := sum(count for name, count in report.sizes.items() if min(_measures(name)) < size):
        yield f"  {enlarged:,} have a side shorter than {size} pixels and are enlarged"
    for skipped in report.skipped[:LISTED]:
        yield f"  skipped {skipped.file}: {skipped.reason}"
    if len(report.skipped) > LISTED:
        yield f"  … and {len(report.skipped) - LISTED} more, listed in data.json"


def _measures(name: str) -> tuple[int, int]:
    width, height = name.split("x")
    return int(width), int(height)


def _area(name: str) -> int:
    width, height = _measures(name)
    return width * height
