"""What the service is to reach on two cores, each as one measurement's figure over another's."""

from typing import NamedTuple

from benchmarks.serving.speed import Speed, ratio

Name = tuple[str, str]  # what was measured, and how
Measured = dict[Name, list[Speed]]  # one a turn
BARE, ONE, EMPTY = "bare, all cores", "bare, one at a time", "an empty route"


class Target(NamedTuple):
    """A ratio, and the least (or the most) that it is to be."""

    what: str
    above: Name
    below: Name
    bound: float
    figures: tuple[str, str] = ("rate", "rate")  # rates are to be high, times low

    def row(self, measured: Measured) -> list[str]:
        """Return what was wanted, what came of it, and whether that will do."""
        got = ratio(measured[self.above], measured[self.below], *self.figures)
        high = self.figures[0] == "rate"
        met = got >= self.bound if high else got <= self.bound
        return [self.what, f"{'≥' if high else '≤'} {self.bound:.2f}", f"{got:.2f}", "yes" if met else "no"]


def _named(model: str, how: str, below: Name, words: str, bound: float, figures: tuple[str, str]) -> Target:
    return Target(f"{model}, {how}: {words}", (model, how), below, bound, figures)


RATES, MEDIANS, TAIL = ("rate", "rate"), ("p50", "p50"), ("p99", "p50")
M, L = "dcgan64@1", "dcgan128@1"
TARGETS = (
    _named(M, "32 connections", (M, BARE), "rate ÷ bare loop", 0.85, RATES),
    _named(L, "32 connections", (L, BARE), "rate ÷ bare loop", 0.88, RATES),
    _named(M, "n = 16 as zip", (M, BARE), "rate ÷ bare loop", 0.92, RATES),
    _named(M, "n = 16 as JSON", (M, BARE), "rate ÷ bare loop", 0.92, RATES),
    _named(M, "generate --seeds, folder", (M, BARE), "rate ÷ bare loop", 0.90, RATES),
    _named(M, "1 connection", (M, ONE), "median ÷ bare call", 1.35, MEDIANS),
    _named(M, "1 connection", (M, "1 connection"), "99th percentile ÷ median", 2.5, TAIL),
    _named(M, "32 connections", (M, "32 connections"), "99th percentile ÷ median", 2.0, TAIL),
    _named("digits@1", "32 connections", (EMPTY, "32 connections"), "rate ÷ empty route", 0.70, RATES),
)


def rows(measured: Measured) -> list[list[str]]:
    """Return a row for each target of which both sides were measured."""
    return [one.row(measured) for one in TARGETS if one.above in measured and one.below in measured]
