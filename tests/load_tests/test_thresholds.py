from collections import Counter

import pytest

from load_tests.shapes import SHAPES
from load_tests.thresholds import Thresholds, broken, percentile

BOUNDS = Thresholds(errors=0.01, p95=1, p99=2, refused=0.1)


def judged(one: int = 100, many: int = 200, failed: int = 0, refused: int = 0, *kinds: str) -> list[str]:
    """A run with a hundred requests of each kind; times in milliseconds."""
    times = {"one seed": [one] * 100, "sixteen": [many] * 100, "one seed, refused": [1] * refused}
    counted = {kind: Counter(found) for kind, found in times.items()}
    return broken(counted, failed, ["one seed", "sixteen", *kinds], BOUNDS)


def test_a_good_run_breaks_nothing() -> None:
    assert judged(failed=2, refused=20) == []
    assert judged(one=699) == []  # nobody notices


def test_each_bound_has_its_sentence() -> None:
    assert judged(failed=3) == ["3 of 200 requests failed; 1.0% may"]
    assert judged(refused=60) == ["60 of 260 requests were refused; 10% may be"]
    assert judged(many=3000) == ["sixteen: p95 is 3.00 s, may be 1.00 s", "sixteen: p99 is 3.00 s, may be 2.00 s"]
    assert judged(one=710) == ["unfair: one picture takes 0.71 s (p95), sixteen take 0.20 s"]
    assert judged(100, 200, 0, 0, "page") == ["no answer for page"]


@pytest.mark.parametrize(("share", "seconds"), [(0, 0.001), (50, 0.05), (95, 0.095), (100, 0.1)])
def test_percentiles_are_those_of_the_times(share: int, seconds: float) -> None:
    assert percentile(Counter(range(1, 101)), share) == seconds


def test_shapes_end() -> None:
    for shape in SHAPES.values():
        assert shape.users(0)
        assert shape.users(shape.stages[-1][0]) is None
        assert list(shape.stages) == sorted(shape.stages)
    assert [SHAPES["spike"].users(at) for at in (0, 45, 75)] == [15, 400, 15]
