"""Detect mode collapse, overfitting and divergence: figures for the log, and a warning when one crosses its threshold.

The thresholds were measured on healthy and on deliberately failing runs; docs/health.md has the commands.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from training.metrics import artefacts
from training.objectives import Objective
from training.registry import Registry

WARM_UP_IMAGES = 50_000  # before that, similar samples and a critic that separates them easily are normal
# Unless they are so on average over this many images, and no less so in their second half than in the first.
LASTING_IMAGES = 8_000
SIDE = 8  # pixels; enough for an image's composition


def diversity(images: Tensor, reference: Tensor) -> float:
    """Return how diverse images are relative to as many real images: about 1 is healthy, 0 means all are equal.

    Diversity is the mean distance of an image to its nearest neighbour, at 8×8 pixels. The mean distance over all pairs
    would still be three quarters with only four different images.

    Args:
        images: (N, C, H, W) float32 in [-1, 1], generated.
        reference: as many real images, (N, C, H, W).
    """
    return float(_mean_nearest_distance(images) / _mean_nearest_distance(reference).clamp_min(1e-12))


FIGURES: Registry[Callable[[Tensor, Tensor], float]] = Registry(
    "figures of the log", {"diversity": diversity, "grid": artefacts.grid, "rim": artefacts.rim}
)


def _mean_nearest_distance(images: Tensor) -> Tensor:
    small = adaptive_avg_pool2d(images.float(), SIDE).flatten(1)  # (N, C*64)
    distances = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")  # (N, N), exact at zero
    return distances.fill_diagonal_(torch.inf).amin(dim=1).mean()


class Alarm(NamedTuple):
    """A figure of the log, its threshold, and the warning when the figure crosses it."""

    figure: str
    threshold: float
    high: bool  # whether values above the threshold are bad
    sentence: str
    early: float | None = None  # the threshold before WARM_UP_IMAGES; without one there is no difference

    def crossed(self, value: float, threshold: float | None = None) -> bool:
        """Return whether a value crosses the threshold."""
        limit = self.threshold if threshold is None else threshold
        return value > limit if self.high else value < limit


MODE_COLLAPSE = Alarm(
    "diversity",
    0.4,
    False,
    "mode collapse: the diversity of the samples is {value:.2f} of that of training images; try lower learning "
    "rates (optimiser.generator_lr, optimiser.critic_lr), a higher objective.penalty, or critic.minibatch_std=true",
    early=0.15,  # the samples of a healthy run of digits were at 0.20 for a while, those of a collapsed one at 0.04
)
OVERFITTING = Alarm(
    "real_sign",
    0.92,
    True,
    "the critic overfits the training images: the mean sign of its scores on them is {value:.2f}; try more "
    "images, augment=[colour,translation,cutout], a higher objective.penalty, or stop here",
    early=0.92,
)
CERTAINTY = Alarm(
    "critic_loss",
    0.1,
    False,
    "the critic overfits the training images: its loss is {value:.2f}, where a guess has 0.69; try more "
    "images, augment=[colour,translation,cutout], a higher objective.penalty, or stop here",
    early=0.05,  # healthy digits were at 0.07 for a while, 16 digits without a penalty at 0.03
)
DIVERGENCE = Alarm(
    "generator_loss",
    15,
    True,
    "training diverges: the generator's loss is {value:.0f}; try lower learning rates "
    "(optimiser.generator_lr, optimiser.critic_lr) or a higher objective.penalty",
)
SKIPPED_STEPS = Alarm(
    "skipped_steps",
    0,
    True,
    "{value:.0f} steps were skipped because a gradient was not finite; try lower learning rates",
)


def alarms_of(objective: Objective) -> tuple[Alarm, ...]:
    """Return the alarms that apply to an objective."""
    signed = (OVERFITTING,) if objective.signed_scores else ()
    paired = (CERTAINTY,) if objective.paired else ()
    bounded = (DIVERGENCE,) if objective.bounded_loss else ()
    return MODE_COLLAPSE, *signed, *paired, *bounded, SKIPPED_STEPS


class Health:
    """Check a run's figures at each tick; the state is part of the checkpoint, so that a resumed run warns equally."""

    def __init__(self, objective: Objective) -> None:
        self._alarms = alarms_of(objective)
        self._active: set[str] = set()
        self._recent: dict[str, list[tuple[float, float]]] = {}  # images and value of a figure at the last ticks

    def warnings(self, row: Mapping[str, float]) -> list[str]:
        """Return a warning for each threshold that is crossed at this tick and was not at the last."""
        found = {alarm: self._crossing(alarm, row) for alarm in self._alarms if alarm.figure in row}
        active = {alarm: value for alarm, value in found.items() if value is not None}
        new = {alarm: value for alarm, value in active.items() if alarm.figure not in self._active}
        self._active = {alarm.figure for alarm in active}
        return [alarm.sentence.format(value=value) for alarm, value in new.items()]

    def _crossing(self, alarm: Alarm, row: Mapping[str, float]) -> float | None:
        """Return the value that crosses the threshold, if it does."""
        value, images = row[alarm.figure], row["images"]
        if alarm.early is None or images >= WARM_UP_IMAGES:
            return value if alarm.crossed(value) else None
        recent = [*self._recent.get(alarm.figure, []), (images, value)]
        # The last tick that is LASTING_IMAGES old stays: the ticks after it fill as many images.
        self._recent[alarm.figure] = recent[sum(seen <= images - LASTING_IMAGES for seen, _ in recent[1:]) :]
        return _lasting(alarm, self._recent[alarm.figure])

    def state_dict(self) -> dict[str, Any]:
        """Return which alarms are active and what they depend on, for the checkpoint."""
        return {"ringing": sorted(self._active), "recent": self._recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a checkpoint; those of before version 0.2 have no recent ticks."""
        self._active, self._recent = set(state["ringing"]), dict(state.get("recent", {}))


def _lasting(alarm: Alarm, ticks: Sequence[tuple[float, float]]) -> float | None:
    """Return the mean of a figure that was beyond its early threshold for LASTING_IMAGES, and does not come back."""
    images, values = zip(*ticks, strict=True)
    average, half = mean(values), len(values) // 2
    if images[-1] - images[0] < LASTING_IMAGES or not alarm.crossed(average, alarm.early):
        return None
    change = mean(values[half:]) - mean(values[:half])
    return None if (change < 0 if alarm.high else change > 0) else average
