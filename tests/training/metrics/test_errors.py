import numpy as np
import pytest
import torch
from torch import Tensor

from training.metrics import distances
from training.metrics.errors import median, share, with_errors


def normal(number: int, seed: int) -> Tensor:
    return torch.randn(number, 4, generator=torch.Generator().manual_seed(seed))


def figures(reference: Tensor, candidate: Tensor) -> dict[str, float]:
    return {
        "mean": float(candidate.mean()),
        "fd": distances.frechet(reference, candidate),
        "recall": distances.recall(reference, candidate),
        "coverage": distances.coverage(reference, candidate),
    }


def test_the_error_is_about_the_deviation_over_other_draws() -> None:
    draws = [with_errors(figures, normal(120, 2 * i), 0.7 * normal(120, 2 * i + 1) + 0.5) for i in range(40)]
    for name in draws[0]:
        spread = np.std([drawn[name] for drawn in draws], ddof=1)
        assert 0.6 < np.mean([drawn[name].error for drawn in draws]) / spread < 1.7, name


def test_the_value_is_that_of_all_and_the_same_every_time() -> None:
    first, again = (with_errors(figures, normal(50, 0), normal(40, 1)) for _ in range(2))
    assert first == figures(normal(50, 0), normal(40, 1))
    assert [(figure, figure.error) for figure in first.values()] == [(f, f.error) for f in again.values()]


def test_a_median_has_the_error_of_a_normal_sample() -> None:
    values = np.random.RandomState(0).randn(400).astype(np.float32)
    assert median(values).error == pytest.approx((np.pi / 2 / 400) ** 0.5, rel=0.3)


def test_a_share_has_the_error_of_a_binomial_distribution() -> None:
    half = share(np.array([True, False] * 50))
    assert (half, half.error) == (0.5, pytest.approx(0.05))
