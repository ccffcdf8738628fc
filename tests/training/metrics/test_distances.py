import pytest
import torch
from torch import Tensor

from training.metrics import distances


def normal(number: int, dimensions: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(number, dimensions, generator=torch.Generator().manual_seed(seed))


def test_the_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    scale, shift = torch.tensor([1.0, 2.0, 0.5, 3.0]), torch.tensor([0.0, 1.0, -2.0, 0.5])
    expected = float((shift**2).sum() + ((scale - 1) ** 2).sum())  # diagonal covariances commute
    measured = distances.frechet(normal(100_000), normal(100_000, seed=1) * scale + shift)
    assert measured == pytest.approx(expected, rel=0.02)


def test_the_distance_of_a_set_from_itself_is_zero() -> None:
    features = normal(500)
    assert distances.frechet(features, features) == pytest.approx(0, abs=1e-4)
    assert distances.recall(features, features) == 1
    assert distances.coverage(features, features) == 1


def test_the_kernel_distance_has_no_bias_and_grows_with_a_shift() -> None:
    reference, other = normal(150), normal(150, seed=1)
    near, far, farther = (distances.kernel(reference, other + shift) for shift in (0.0, 1.0, 2.0))
    assert near == pytest.approx(0, abs=0.5)
    assert near < far < farther


def test_the_kernel_distance_is_the_same_every_time_and_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    first, again = (distances.kernel(normal(150), normal(150, seed=1)) for _ in range(2))
    assert (first, first.error) == (again, again.error)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_kernel_distance_of_large_sets_is_that_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = distances.kernel(normal(300), normal(299, seed=1) + 1)
    monkeypatch.setattr(distances, "BLOCK", 100)
    parts = distances.kernel(normal(300), normal(299, seed=1) + 1)
    assert parts == pytest.approx(whole, abs=3 * whole.error)
    assert whole.error / 2 < parts.error < 2 * whole.error


def test_the_frechet_distance_is_the_same_with_fewer_features_than_dimensions() -> None:
    """Against the definition, with the square root of a matrix from its eigenvalues."""
    x, y = normal(30, 50).double(), normal(40, 50, seed=1).double() + 1
    eigenvalues = torch.linalg.eigvals(torch.cov(x.T) @ torch.cov(y.T)).sqrt().real.sum()
    expected = (x.mean(0) - y.mean(0)).square().sum() + torch.cov(x.T).trace() + torch.cov(y.T).trace()
    assert distances.frechet(x, y) == pytest.approx(float(expected - 2 * eigenvalues), rel=1e-4)


def test_a_collapsed_set_has_low_recall_and_coverage() -> None:
    reference, collapsed = normal(1000), normal(8, seed=1).repeat(125, 1)
    assert distances.recall(reference, collapsed) < 0.05
    assert distances.coverage(reference, collapsed) < 0.1


def test_a_set_without_half_the_modes_has_a_coverage_of_one_half() -> None:
    modes = torch.tensor([[0.0] * 4, [100.0] * 4])
    reference = torch.cat([normal(500) + mode for mode in modes])
    assert distances.coverage(reference, normal(1000, seed=1)) == pytest.approx(0.5, abs=0.02)
    assert distances.recall(reference, normal(1000, seed=1)) == pytest.approx(0.5, abs=0.05)


def test_the_kernel_distance_over_all_pairs_has_no_bias() -> None:
    values = torch.tensor([distances.kernel(normal(50, seed=2 * i), normal(40, seed=2 * i + 1)) for i in range(40)])
    assert float(values.mean()) == pytest.approx(0, abs=3 * float(values.std()) / 40**0.5)


def test_the_error_of_the_kernel_distance_is_its_deviation_over_samples() -> None:
    draws = [distances.kernel(normal(100, seed=2 * i), normal(80, seed=2 * i + 1) + 1) for i in range(40)]
    values, errors = torch.tensor(draws), torch.tensor([draw.error for draw in draws])
    assert 0.7 < float(errors.mean() / values.std()) < 1.5


def test_realism_is_1_on_the_edge_of_the_set_and_falls_with_the_distance_from_it() -> None:
    reference = torch.arange(11.0)[:, None]  # the fifth neighbour of 5 is 3 away, that of 10 is 5 away
    found = distances.realism(reference, torch.tensor([[15.0], [20.0], [4.9], [5.0]]))
    assert found[:2].tolist() == pytest.approx([1.0, 0.5])
    assert found[2] > 25 < found[3]
    assert distances.realism(reference, torch.full((3, 1), 100.0)).max() < 0.06
