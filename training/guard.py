"""Nothing that is not finite gets into a run: such a gradient is not followed, and its step is skipped and counted.

The game asks before each descent whether its gradient is finite, so that no weight, moment or average ever has to be
taken back. Only BatchNorm's statistics change in the forward pass; they are small, and copied before each step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from training.errors import TrainingError
from training.step import Game, NotFiniteError, Stats

PATIENCE = 10  # such steps in a row; by then nothing that the next batch brings will help


class Guard:
    """Plays steps of a game; skips what is left of one as soon as something in it is not finite."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._skipped = 0  # steps since take_skipped
        self.in_a_row = 0

    def play(self, step: Callable[[], Stats]) -> Stats | None:
        """Play a step that changes the game; return its scalars, or None where it was skipped.

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
        """Go on from a checkpoint's counts."""
        self._skipped, self.in_a_row = state["skipped"], state["in_a_row"]

    def _statistics(self) -> list[Tensor]:
        networks = (self._game.generator, self._game.critic, self._game.average)
        return [buffer for network in networks for buffer in network.buffers()]


def _finite(figures: list[Tensor]) -> bool:
    return bool(torch.cat([figure.flatten().float() for figure in figures]).isfinite().all())
