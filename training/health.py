"""Whether a run is well: figures for the log, and a sentence at the tick where one of them crosses its threshold.

The thresholds are measured: docs/health.md has the runs, healthy ones and ones made to fail, and the commands.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

GRACE = 50_000  # images; until then a generator's alike samples, and its critic's easy work, are no news
SIDE = 8  # pixels; what is left of an image when only its composition is asked for


def diversity(images: Tensor, reference: Tensor) -> float:
    """Return how far apart images are, relative to as many real ones: about 1 is healthy, 0 is all the same.

    The measure is the mean distance from an image to the nearest other, after shrinking all of them to 8×8. The mean
    over all pairs would still be at three quarters when only four different images are left.

    Args:
        images: (N, C, H, W) float32 in [-1, 1], generated.
        reference: as many real ones, (N, C, H, W).
    """
    return float(_spread(images) / _spread(reference).clamp_min(1e-12))


def _spread(images: Tensor) -> Tensor:
    small = adaptive_avg_pool2d(images.float(), SIDE).flatten(1)  # (N, C*64)
    distances = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")  # (N, N), exact at zero
    return distances.fill_diagonal_(torch.inf).amin(dim=1).mean()


class Alarm(NamedTuple):
    """A figure of the log, the threshold that a healthy run stays clear of, and what to say when it does not."""

    figure: str
    threshold: float
    high: bool  # whether the high side is the bad one
    sentence: str

    def rings(self, value: float) -> bool:
        """Tell whether a value is on the bad side."""
        return value > self.threshold if self.high else value < self.threshold


ALIKE = Alarm(
    "diversity",
    0.4,
    False,
    "the samples have become alike: they differ {value:.2f} times as much as training images do; try lower learning "
    "rates (optimiser.generator_lr, optimiser.critic_lr), a higher objective.penalty, or critic.minibatch_std=true",
)
BY_HEART = Alarm(
    "real_sign",
    0.92,
    True,
    "the critic knows the training images by heart: the mean sign of its scores on them is {value:.2f}; try more "
    "images, augment=[colour,translation,cutout], a higher objective.penalty, or stop here",
)
RUNS_AWAY = Alarm(
    "generator_loss",
    15,
    True,
    "the critic has run away from the generator, whose loss is {value:.0f}; try lower learning rates "
    "(optimiser.generator_lr, optimiser.critic_lr) or a higher objective.penalty",
)
NOT_FINITE = Alarm(
    "skipped_steps",
    0,
    True,
    "{value:.0f} steps were not finite, and were skipped; try lower learning rates",
)
FROM_THE_START = (RUNS_AWAY, NOT_FINITE)  # the others are normal for a while
# Only dcgan's scores have a zero that means something, and only of dcgan and r3gan has the loss a scale.
ALARMS = {
    "dcgan": (ALIKE, BY_HEART, RUNS_AWAY, NOT_FINITE),
    "r3gan": (ALIKE, RUNS_AWAY, NOT_FINITE),
    "wgan-gp": (ALIKE, NOT_FINITE),
}


class Health:
    """Follows a run's figures; its state belongs in the checkpoint, so that a resumed run says the same."""

    def __init__(self, objective: str) -> None:
        self._alarms = ALARMS[objective]
        self._ringing: set[str] = set()

    def warnings(self, row: Mapping[str, float]) -> list[str]:
        """Return a sentence for each threshold that the figures of this tick cross, and the last tick's did not."""
        alarms = [alarm for alarm in self._alarms if row["images"] >= GRACE or alarm in FROM_THE_START]
        ringing = [alarm for alarm in alarms if alarm.figure in row and alarm.rings(row[alarm.figure])]
        new = [alarm for alarm in ringing if alarm.figure not in self._ringing]
        self._ringing = {alarm.figure for alarm in ringing}
        return [alarm.sentence.format(value=row[alarm.figure]) for alarm in new]

    def state_dict(self) -> dict[str, list[str]]:
        """Return which alarms ring, for the checkpoint."""
        return {"ringing": sorted(self._ringing)}

    def load_state_dict(self, state: Mapping[str, list[str]]) -> None:
        """Go on from a checkpoint's alarms."""
        self._ringing = set(state["ringing"])
