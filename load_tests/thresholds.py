"""The thresholds of a run: a sentence for each that it exceeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FEW = 20  # requests of a kind of which percentiles say nothing
# Seconds. Of the smallest models sixteen take hardly longer than one, and whom it hits when the machine stands still is
# chance; who waits for others' pictures waits for seconds.
NOTICED = 0.5

Times = Mapping[str, Counter[int]]  # by kind of user: milliseconds -> how many requests took them


@dataclass(frozen=True)
class Thresholds:
    """Seconds are those of requests that were not refused."""

    errors: float  # share of the requests
    p95: float
    p99: float
    refused: float = 0.0  # share of the requests that may get 503 with Retry-After


def broken(times: Times, failed: int, kinds: Sequence[str], bounds: Thresholds) -> list[str]:
    """Return a sentence for each exceeded threshold, and for unfairness to a kind of user."""
    asked = {kind: times.get(kind, Counter()) for kind in kinds}
    answered = sum(found.total() for found in asked.values())
    refused = sum(times.get(refusals(kind), Counter()).total() for kind in kinds)
    found = [f"no answer for {kind}" for kind, those in asked.items() if not those]
    if failed > bounds.errors * answered:
        found.append(f"{failed} of {answered} requests failed; {bounds.errors:.1%} may")
    if refused > bounds.refused * (answered + refused):
        found.append(f"{refused} of {answered + refused} requests were refused; {bounds.refused:.0%} may be")
    for kind, those in asked.items():
        found += _slow(kind, those, bounds)
    return found + _unfair(asked["one seed"], asked["sixteen"])


def refusals(kind: str) -> str:
    """Return the name of a kind's refused requests."""
    return f"{kind}, refused"


def percentile(times: Counter[int], share: int) -> float:
    """Return the seconds within which so many in a hundred were done."""
    done = 0
    for milliseconds in sorted(times):
        done += times[milliseconds]
        if 100 * done >= share * times.total():
            return milliseconds / 1000
    return 0.0


def _slow(kind: str, times: Counter[int], bounds: Thresholds) -> list[str]:
    return [
        f"{kind}: p{share} is {seconds:.2f} s, may be {bound:.2f} s"
        for share, bound in ((95, bounds.p95), (99, bounds.p99))
        if times.total() >= FEW and (seconds := percentile(times, share)) > bound
    ]


def _unfair(one: Counter[int], many: Counter[int]) -> list[str]:
    """Say whether who asks for one picture waits longer than who asks for sixteen: in the queue, all take turns.

    Not by medians: who waits longer asks less often in a crowd, and so more of their requests are of before.
    """
    few, lot = percentile(one, 95), percentile(many, 95)
    if min(one.total(), many.total()) < FEW or few <= lot + NOTICED:
        return []
    return [f"unfair: one picture takes {few:.2f} s (p95), sixteen take {lot:.2f} s"]
