"""Steps that are not finite: such a gradient is not applied, and its step is skipped and counted.

The step checks its gradient before each optimiser's step, so that no weight, moment or average has to be restored. Only
running statistics, such as BatchNorm's, change in the forward pass; they are small, and copied before each step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from training.errors import TrainingError
from training.gan import GAN, NotFiniteError, Stats

PATIENCE = 10  # such steps in a row; another batch is unlikely to help by then


class NonFiniteGuard:
    """Runs the steps of a GAN; skips the rest of one as soon as something in it is not finite."""

    def __init__(self, gan: GAN) -> None:
        self._gan = gan
        self._skipped = 0  # steps since take_skipped
        self.in_a_row = 0

    def run(self, step: Callable[[], Stats]) -> Stats | None:
        """Run a step and return its scalars, or None where it was skipped.

        Raises:
            TrainingError: it was the tenth in a row.
        """
        statistics = self._statistics()
        before = [statistic.clone() for statistic in statistics]
        try:
            stats = step()
            if _finite([*stats.values(), *statistics]):
                self.in_a_row = 0
                return stats
        except NotFiniteError:
            pass
        torch._foreach_copy_(statistics, before)
        self._skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= PATIENCE:
            raise TrainingError(f"{PATIENCE} steps in a row were not finite: try a smaller learning rate")
        return None

    def take_skipped(self) -> int:
        """Return how many steps were skipped since the last call."""
        skipped, self._skipped = self._skipped, 0
        return skipped

    def state_dict(self) -> dict[str, int]:
        """Return the counts, for the checkpoint."""
        return {"skipped": self._skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore the counts of a checkpoint."""
        self._skipped, self.in_a_row = state["skipped"], state["in_a_row"]

    def _statistics(self) -> list[Tensor]:
        networks = (self._gan.generator, self._gan.critic, self._gan.average)
        return [buffer for network in networks for buffer in network.buffers()]


def _finite(figures: list[Tensor]) -> bool:
    return bool(torch.cat([figure.flatten().float() for figure in figures]).isfinite().all())
