from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from training.images import Pixels
from training.metrics import by_class
from training.metrics.by_class import Labelled
from training.metrics.features import Features


@dataclass(frozen=True)
class ByLevel:
    """A classifier of plain images: a level of 100 is class 1."""

    def probabilities(self, pixels: Pixels) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[(pixels[:, 0, 0, 0] // 100).astype(np.int64)]

    def features(self) -> Features:
        return Features("level", "0", lambda images: images[:, :, 0, :4].flatten(1))


def plain(labels: list[int], noise: int = 20) -> Pixels:
    random = np.random.default_rng(sum(labels))
    drawn = np.array(labels)[:, None, None, None] * 100 + random.integers(0, noise, (len(labels), 1, 4, 4))
    return drawn.astype(np.uint8)


def test_the_share_that_is_read_as_asked_is_counted_for_each_class() -> None:
    asked = np.array([0] * 20 + [1] * 20 + [2] * 4)
    drawn = plain([0] * 20 + [1] * 15 + [2] * 5 + [0] * 4)
    reals = Labelled(plain([0, 1, 2] * 20), np.array([0, 1, 2] * 20))
    scores = by_class.score(ByLevel(), "abc", Labelled(drawn, asked), reals)  # type: ignore[arg-type]
    assert [(one.name, one.samples, one.asked, one.real) for one in scores] == [
        ("a", 20, 1.0, 1.0), ("b", 20, 0.75, 1.0), ("c", 4, 0.0, 1.0),
    ]  # fmt: skip
    assert scores[0].distance is not None
    assert scores[1].distance is not None
    assert abs(scores[0].distance) < scores[1].distance
    assert scores[2].distance is None


def test_a_class_without_samples_has_no_figures() -> None:
    images = Labelled(plain([1] * 9), np.array([1] * 9))
    scores = by_class.score(ByLevel(), "abc", images, images)  # type: ignore[arg-type]
    assert [one.name for one in scores] == ["b"]
    assert scores[0].distance == pytest.approx(0, abs=0.5)
