import torch
from torch import Tensor

from training.refine import ENOUGH, learn_realism, train_refiner


def along_first(latents: Tensor) -> Tensor:
    return latents[:, 0]


def test_an_estimator_learns_what_depends_on_the_values_and_says_how_well() -> None:
    torch.manual_seed(0)
    values = 3 * torch.randn(2000, 8) + 5
    scores = torch.minimum(values[:, 0], values[:, 1])
    estimator, explained = learn_realism(values, scores)
    assert 0.7 < explained <= 1
    estimates, order = estimator(values), scores.argsort()
    assert estimates[order[-50:]].mean() > 1 > -1 > estimates[order[:50]].mean()


def test_an_estimator_says_that_noise_cannot_be_learned() -> None:
    torch.manual_seed(0)
    assert learn_realism(torch.randn(2000, 8), torch.randn(2000)).explained < 0.02


def test_a_refiner_moves_latents_far_enough_and_leaves_good_ones_alone() -> None:
    torch.manual_seed(0)
    steps = train_refiner(along_first, 8)(latents := torch.randn(1000, 8))
    good, bad = latents[:, 0] > ENOUGH + 1, latents[:, 0] < ENOUGH
    assert ((latents + steps)[bad, 0] > ENOUGH - 0.2).float().mean() > 0.95
    assert steps[good].norm(dim=1).mean() < 0.5 < 1 < steps[bad, 0].mean()
    assert steps[:, 1:].abs().mean() < 0.1  # which the estimate does not read
