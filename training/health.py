"""Whether a run is well: figures for the log, and a sentence at the tick where one of them crosses its threshold.

The thresholds are measured: docs/health.md has the runs, healthy ones and ones made to fail, and the commands.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

GRACE = 50_000  # images; until then an untrained generator's alike samples, and its easy critic, are no news
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
    0.5,
    False,
    "the samples have become alike: they differ {value:.2f} times as much as training images do; try lower learning "
    "rates (optimiser.generator_lr, optimiser.critic_lr), a higher objective.penalty, or critic.minibatch_std=true",
)
BY_HEART = Alarm(
    "real_sign",
    0.97,
    True,
    "the critic knows the training images by heart: the mean sign of its scores on them is {value:.2f}; try more "
    "images, augment=[colour,translation,cutout], a higher objective.penalty, or stop here",
)
NOT_FINITE = Alarm(
    "skipped_steps",
    0,
    True,
    "{value:.0f} steps were not finite, and were skipped; try lower learning rates",
)


CANNOT_TELL = Alarm(
    "apart",
    0.3,
    False,
    "the critic hardly tells real images from generated ones any more: the mean signs of its scores lie {value:.2f} "
    "apart; try a lower optimiser.critic_lr",
)


class Health:
    """Follows a run's figures; its state belongs in the checkpoint, so that a resumed run says the same."""

    def __init__(self, objective: str) -> None:
        # Only dcgan's scores have a zero that means something; the others' are compared with one another.
        self._alarms = (ALIKE, BY_HEART, CANNOT_TELL, NOT_FINITE) if objective == "dcgan" else (ALIKE, NOT_FINITE)
        self._unsettled = {ALIKE.figure, BY_HEART.figure, CANNOT_TELL.figure}  # bad since the start, as is normal
        self._ringing: set[str] = set()

    def warnings(self, row: Mapping[str, float]) -> list[str]:
        """Return a sentence for each threshold that the figures of this tick cross, and the last tick's did not."""
        figures = dict(row)
        if "real_sign" in row:
            figures["apart"] = row["real_sign"] - row["fake_sign"]
        known = [alarm for alarm in self._alarms if alarm.figure in figures]
        bad = {alarm.figure for alarm in known if alarm.rings(figures[alarm.figure])}
        self._unsettled = self._unsettled & bad if row["images"] < GRACE else set()
        new = bad - self._unsettled - self._ringing
        self._ringing = bad - self._unsettled
        return [alarm.sentence.format(value=figures[alarm.figure]) for alarm in known if alarm.figure in new]

    def state_dict(self) -> dict[str, list[str]]:
        """Return which alarms ring, for the checkpoint."""
        return {"unsettled": sorted(self._unsettled), "ringing": sorted(self._ringing)}

    def load_state_dict(self, state: Mapping[str, list[str]]) -> None:
        """Go on from a checkpoint's alarms."""
        self._unsettled, self._ringing = set(state["unsettled"]), set(state["ringing"])
