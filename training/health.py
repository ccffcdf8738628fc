"""The health of a run: figures for the log, and a warning at the tick where one of them crosses its threshold.

The thresholds were measured on healthy runs and on runs made to fail: docs/health.md has the commands.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from training.metrics import artefacts
from training.objectives import Objective
from training.registry import Registry

WARM_UP_IMAGES = 50_000  # until then similar samples and a critic that separates them easily are normal
SIDE = 8  # pixels; enough for an image's composition


def diversity(images: Tensor, reference: Tensor) -> float:
    """Return how different images are, relative to as many real ones: about 1 is healthy, 0 is all the same.

    The measure is the mean distance from an image to the nearest other, after shrinking all of them to 8×8. The mean
    over all pairs would still be at three quarters when only four different images are left.

    Args:
        images: (N, C, H, W) float32 in [-1, 1], generated.
        reference: as many real ones, (N, C, H, W).
    """
    return float(_spread(images) / _spread(reference).clamp_min(1e-12))


FIGURES: Registry[Callable[[Tensor, Tensor], float]] = Registry(
    "figures of the log", {"diversity": diversity, "grid": artefacts.grid, "rim": artefacts.rim}
)


def _spread(images: Tensor) -> Tensor:
    small = adaptive_avg_pool2d(images.float(), SIDE).flatten(1)  # (N, C*64)
    distances = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")  # (N, N), exact at zero
    return distances.fill_diagonal_(torch.inf).amin(dim=1).mean()


class Alarm(NamedTuple):
    """A figure of the log, the threshold that a healthy run does not cross, and the warning when it is crossed."""

    figure: str
    threshold: float
    high: bool  # whether the high side is the bad one
    sentence: str

    def crossed(self, value: float) -> bool:
        """Return whether a value is on the bad side of the threshold."""
        return value > self.threshold if self.high else value < self.threshold


MODE_COLLAPSE = Alarm(
    "diversity",
    0.4,
    False,
    "mode collapse: the samples differ {value:.2f} times as much as training images do; try lower learning "
    "rates (optimiser.generator_lr, optimiser.critic_lr), a higher objective.penalty, or critic.minibatch_std=true",
)
OVERFITTING = Alarm(
    "real_sign",
    0.92,
    True,
    "the critic overfits the training images: the mean sign of its scores on them is {value:.2f}; try more "
    "images, augment=[colour,translation,cutout], a higher objective.penalty, or stop here",
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
    "{value:.0f} steps were skipped, because their gradients were not finite; try lower learning rates",
)
# Normal for a while: samples that are alike, and a critic whose work is easy.
AFTER_WARM_UP = (MODE_COLLAPSE, OVERFITTING)


def alarms_of(objective: Objective) -> tuple[Alarm, ...]:
    """Return the alarms whose figures mean something under an objective."""
    signed = (OVERFITTING,) if objective.signed_scores else ()
    bounded = (DIVERGENCE,) if objective.bounded_loss else ()
    return MODE_COLLAPSE, *signed, *bounded, SKIPPED_STEPS


class Health:
    """Follows a run's figures; its state belongs in the checkpoint, so that a resumed run warns alike."""

    def __init__(self, objective: Objective) -> None:
        self._alarms = alarms_of(objective)
        self._active: set[str] = set()

    def warnings(self, row: Mapping[str, float]) -> list[str]:
        """Return a sentence for each threshold that this tick's figures cross and the last tick's did not."""
        warm = row["images"] >= WARM_UP_IMAGES
        alarms = [alarm for alarm in self._alarms if warm or alarm not in AFTER_WARM_UP]
        active = [alarm for alarm in alarms if alarm.figure in row and alarm.crossed(row[alarm.figure])]
        new = [alarm for alarm in active if alarm.figure not in self._active]
        self._active = {alarm.figure for alarm in active}
        return [alarm.sentence.format(value=row[alarm.figure]) for alarm in new]

    def state_dict(self) -> dict[str, list[str]]:
        """Return which alarms are active, for the checkpoint."""
        return {"ringing": sorted(self._active)}

    def load_state_dict(self, state: Mapping[str, list[str]]) -> None:
        """Restore the active alarms of a checkpoint."""
        self._active = set(state["ringing"])
