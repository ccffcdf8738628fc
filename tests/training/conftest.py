import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from tests import DIGITS
from training import images
from training import recipe as recipes
from training.device import Device, choose
from training.loop import Trainer
from training.recipe import Recipe
from training.run import Config, InitFrom, Run


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A recipe that trains in a second: 16 pixels, few filters, 20 steps."""
    return tiny_recipe()


def tiny_recipe(name: str = "digits-best", **changes: str) -> Recipe:
    small = {"generator.width": "8", "critic.width": "8", "generator.latent_dim": "16", "batch": "16", "kimg": "0.32"}
    often = {"tick_kimg": "0.08"}
    if name != "cats":  # which counts them in batches and epochs
        often |= {"picture_kimg": "0.16", "picture_batches": "null", "snapshot_kimg": "0.16", "snapshot_epochs": "null"}
    settings = small | often | {key.replace("__", "."): value for key, value in changes.items()}
    return recipes.load(name, [f"{key}={value}" for key, value in settings.items()], images__size=16)


def make_trainer(
    out: Path,
    recipe: Recipe,
    seed: int = 0,
    minutes: float | None = None,
    init_from: InitFrom | None = None,
    device: Device | None = None,
    classes: str | None = None,
) -> Trainer:
    config = Config(
        name="tiny",
        recipe=recipe,
        data=str(DIGITS),
        seed=seed,
        device="cpu",
        minutes=minutes,
        classes=classes,
        init_from=init_from,
    )
    dataset = images.read(DIGITS, recipe.images, classes)
    run = Run.create(out, config)
    run.write_text("data.json", dataset.report.model_dump_json())
    return Trainer(run, config, dataset, device or choose("cpu"), Console(quiet=True))


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit the files of this process to 1 kB; Python ignores SIGXFSZ, so writes fail as on a full disk.

    Only around the write itself: pytest's own output may be a file, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
