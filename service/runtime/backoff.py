"""How long to wait before a worker that has ended is started again."""

from dataclasses import dataclass

STABLE = 10.0  # seconds that a worker must serve for its end not to count as a failed start
FIRST, LONGEST = 1.0, 30.0  # seconds to wait after the second failed start in a row, and at most


@dataclass
class Backoff:
    """Counts the failed starts in a row of one worker's place.

    A worker that ends is replaced at once, the first time: its clients wait. One that ends right after each start, of a
    model that crashes it or for want of memory, would otherwise take a core for its imports alone.
    """

    failures: int = 0

    def delay(self, served: float) -> float:
        """Return how many seconds to wait after a worker that was ready for ``served`` seconds: 0, 1, 2, 4, … 30."""
        self.failures = self.failures + 1 if served < STABLE else 0
        return 0.0 if self.failures <= 1 else min(LONGEST, FIRST * 2.0 ** (self.failures - 2))
