"""Add truncation and directions to a model without training: its weights stay as they are (metadata schema 2)."""

from dataclasses import dataclass, field

import numpy as np
import onnx

from export.controls import Moves, add_controls, entry_values
from export.directions import deviations, singular_vectors, step_lengths, useful_range
from export.entries import Entry, find_entries
from export.errors import ExportError, InputError
from export.sampler import Floats, Sampler
from service.contract import Card, Direction

MOST = 16  # directions
SEEDS = range(16)  # whose images are measured, and compared before and after
BATCHES = (1, 2, 7)


def upgrade(model: onnx.ModelProto, card: Card, count: int = MOST) -> tuple[onnx.ModelProto, Card]:
    """Return a model with up to ``count`` directions and, where it has a mapping network, truncation.

    Raises:
        InputError: it has such inputs already, or a graph in which the latent meets no layer.
        ExportError: an image would change where they are off, or depend on its batch.
    """
    if card.truncation or card.directions:
        raise InputError(f"{card.name}@{card.version} has truncation or directions already")
    plan = _plan(model, card.latent_dim, count)
    lengths = np.ones(plan.count, np.float32)
    if plan.count:
        trial = Sampler(plan.applied(model, lengths), card.latent_dim)
        lengths = step_lengths(plan.count, lambda amounts: trial.draw_moved(SEEDS, amounts))
    made = plan.applied(model, lengths)
    verify_off_and_batches(Sampler(model, card.latent_dim), Sampler(made, card.latent_dim))
    styles = [entry.style for entry, own in zip(plan.entries, plan.vectors, strict=True) for _ in own]
    ranges = [useful_range(length, style=style) for length, style in zip(lengths.tolist(), styles, strict=True)]
    directions = tuple(Direction(name=str(i), range=one) for i, one in enumerate(ranges))
    more = {"truncation": plan.truncates, "directions": directions}
    return made, card.model_copy(update=more if plan.truncates or directions else {})


@dataclass
class _Plan:
    """What is to be added to a graph: for each entry its centre, and its directions with a length of one deviation."""

    entries: list[Entry]
    truncates: bool
    centres: list[Floats | None] = field(default_factory=list)
    vectors: list[Floats] = field(default_factory=list)  # (K of the entry, D)

    @property
    def count(self) -> int:
        """How many directions there are."""
        return sum(map(len, self.vectors))

    def applied(self, model: onnx.ModelProto, lengths: Floats) -> onnx.ModelProto:
        """Return the model with its new inputs, where an amount of 1 is ``lengths`` (K,) deviations."""
        moves, first = [], 0
        for entry, centre, vectors in zip(self.entries, self.centres, self.vectors, strict=True):
            own = slice(first, first + len(vectors))
            rows = np.zeros((self.count, entry.size), np.float32)  # the directions of other entries do not move it
            rows[own] = vectors * lengths[own, None]
            moves.append(Moves(entry, centre, rows))
            first = own.stop
        return add_controls(model, moves)


def _plan(model: onnx.ModelProto, latent_dim: int, count: int) -> _Plan:
    entries = find_entries(model)
    plan = _Plan(entries, truncates=any(entry.style for entry in entries))
    for i, entry in enumerate(entries):
        values = entry_values(model, entry, latent_dim)
        centre = values.mean(axis=0) if entry.style else np.zeros(entry.size, np.float32)
        share = count // len(entries) + (i < count % len(entries))
        vectors = singular_vectors(model, entry, min(share, entry.size))
        plan.centres.append(centre if plan.truncates else None)
        plan.vectors.append(vectors * deviations(values, vectors)[:, None])
    return plan


def verify_off_and_batches(before: Sampler, after: Sampler) -> None:
    """Compare images with those of before where all is off, and those of batches with one another where it is on.

    Raises:
        ExportError: an image differs.
    """
    if not np.array_equal(before.draw(SEEDS), after.draw(SEEDS)):
        raise ExportError("the images change although truncation and directions are off")
    amounts = np.random.RandomState(0).randn(len(SEEDS), after.directions).astype(np.float32)
    truncation = np.linspace(0, 1, len(SEEDS), dtype=np.float32)
    together = after.draw(SEEDS, amounts, truncation)
    for batch in BATCHES:
        if not np.array_equal(after.draw(SEEDS[:batch], amounts[:batch], truncation[:batch]), together[:batch]):
            raise ExportError(
                f"an image that is moved is another one in a batch of {batch} than in one of {len(SEEDS)}"
            )
