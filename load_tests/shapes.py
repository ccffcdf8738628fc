"""The shapes of load: users over time, and the thresholds of a run."""

from dataclasses import dataclass

from load_tests.thresholds import Thresholds


@dataclass(frozen=True)
class Shape:
    """``stages`` are (seconds since the beginning at which it ends, users)."""

    stages: tuple[tuple[float, int], ...]
    thresholds: Thresholds

    def users(self, seconds: float) -> int | None:
        """Return how many users there are at a time; None after the end."""
        return next((users for end, users in self.stages if seconds < end), None)


SHAPES = {
    "smoke": Shape(((20, 15),), Thresholds(errors=0, p95=10, p99=20)),  # on whatever machine runs the tests
    "ramp": Shape(
        tuple((30.0 * (i + 1), users) for i, users in enumerate((8, 16, 32, 64, 128))),
        Thresholds(errors=0.001, p95=3, p99=6),
    ),
    "spike": Shape(((30, 15), (60, 400), (90, 15)), Thresholds(errors=0.001, p95=10, p99=20, refused=0.9)),
    "soak": Shape(((1200, 15),), Thresholds(errors=0, p95=2, p99=5)),
}
