"""Build the model file of a run: trace the generator, add the card, check the result."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from export.errors import InputError
from export.graph import Pixels, trace
from export.serialise import serialise
from export.upgrade import upgrade
from export.verify import verify
from service.contract import Card, Dataset, Metric
from service.contract.inputs import MAX_DIRECTIONS
from training.errors import TrainingError
from training.run import Run, Snapshot


def build(
    path: Path,
    *,
    name: str,
    version: int,
    licence: str,
    data_name: str | None,
    data_licence: str,
    metrics: list[Metric],
    directions: int = MAX_DIRECTIONS,
    truncation: float = 1.0,
) -> bytes:
    """Return the model file of the run's latest averaged generator, with a card of the given values.

    Raises:
        InputError: the run cannot be read, or has no centre to truncate towards.
        ExportError: the graph breaks the contract, or its pixels differ from torch's.
    """
    try:
        run = Run.open(path)
        snapshot, config, report = run.load_generator(), run.config(), run.report()
    except TrainingError as error:
        raise InputError(str(error)) from error
    images = snapshot.recipe.images
    card = Card(
        name=name,
        version=version,
        latent_dim=snapshot.recipe.generator.latent_dim,
        height=images.size,
        width=images.size,
        channels=images.channels,
        recipe=config.name,
        objective=snapshot.recipe.objective.name,
        images_seen=snapshot.images_seen,
        dataset=Dataset(name=data_name or report.name, licence=data_licence, count=report.count, digest=report.digest),
        metrics=tuple(metrics),
        run=run.path.resolve().name,
        commit=_commit(),
        date=datetime.now(UTC).date().isoformat(),
        licence=licence,
        classes=snapshot.classes,
    )
    return _serialise(snapshot, card, directions, truncation)


def _serialise(snapshot: Snapshot, card: Card, directions: int = MAX_DIRECTIONS, truncation: float = 1.0) -> bytes:
    pixels = Pixels(snapshot.generator)
    model = trace(pixels, card.latent_dim, classes=bool(card.classes))
    data = serialise(model, card)
    verify(data, pixels, card.latent_dim, len(card.classes))  # against the torch module, in which nothing is folded
    model, card = upgrade(model, card, directions)
    if truncation != 1 and not card.truncation:
        raise InputError(f"--truncation is for styled generators; {card.recipe} has another, so leave it out")
    return serialise(model, card.model_copy(update={"default_truncation": truncation}))


def _commit() -> str:
    """Return the commit of this source tree, or ``unknown`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    here = Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)  # noqa: S603 # nosec B603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()
