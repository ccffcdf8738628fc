"""A step that is not finite never happened: every weight, moment and statistic is put back as it was before it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from training.errors import TrainingError
from training.step import Game, Stats

PATIENCE = 10  # such steps in a row; by then nothing that the next batch brings will help


class Guard:
    """Plays steps of a game and takes back those whose losses, penalty or weights are not finite."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._copies: list[Tensor] = []
        self._skipped = 0  # steps since take_skipped
        self.in_a_row = 0

    def play(self, step: Callable[[], Stats]) -> Stats | None:
        """Play a step that changes the game; return its scalars, or None where it was taken back.

        Raises:
            TrainingError: it was the tenth in a row.
        """
        self._copy()
        stats = step()
        if self._finite(stats):
            self.in_a_row = 0
            return stats
        self._put_back()
        self._skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= PATIENCE:
            raise TrainingError(f"{PATIENCE} steps in a row were not finite: try a smaller learning rate")
        return None

    def take_skipped(self) -> int:
        """Return how many steps were taken back since the last call."""
        skipped, self._skipped = self._skipped, 0
        return skipped

    def state_dict(self) -> dict[str, int]:
        """Return the counts, for the checkpoint."""
        return {"skipped": self._skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a checkpoint's counts."""
        self._skipped, self.in_a_row = state["skipped"], state["in_a_row"]

    def _finite(self, stats: Stats) -> bool:
        weights = [*self._game.generator.parameters(), *self._game.critic.parameters()]
        figures = [*stats.values(), *torch._foreach_norm([weight.detach() for weight in weights])]
        return bool(torch.stack([figure.float() for figure in figures]).isfinite().all())

    def _tensors(self) -> Iterator[Tensor]:
        """Yield all that a step changes; the optimisers' moments, which the first step makes, come last."""
        for network in (self._game.generator, self._game.critic, self._game.average):
            yield from network.state_dict().values()
        for optimiser in (self._game.generator_optimiser, self._game.critic_optimiser):
            for moments in optimiser.state.values():
                yield from moments.values()

    def _copy(self) -> None:
        tensors = list(self._tensors())
        if len(self._copies) != len(tensors):
            self._copies = [torch.empty_like(tensor) for tensor in tensors]
        torch._foreach_copy_(self._copies, tensors)

    def _put_back(self) -> None:
        tensors = list(self._tensors())
        known = len(self._copies)
        torch._foreach_copy_(tensors[:known], self._copies)
        for moment in tensors[known:]:  # that this very step made: Adam's begin at zero
            moment.zero_()
