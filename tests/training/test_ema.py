import copy

import pytest
import torch
from torch import nn

from training import ema


def test_after_one_half_life_the_average_is_half_way() -> None:
    average, network = nn.Linear(3, 3), nn.Linear(3, 3)
    start = average.weight.detach().clone()
    for _ in range(10):
        ema.update(average, network, images=50, half_life=500)
    torch.testing.assert_close(average.weight, (start + network.weight) / 2)


def test_statistics_are_copied() -> None:
    average, network = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    network(torch.randn(4, 2, 3, 3) + 5)
    ema.update(average, network, images=1, half_life=1e9)
    assert torch.equal(average.running_mean, network.running_mean)
    assert average.num_batches_tracked == 1


def test_the_half_life_grows_to_its_target() -> None:
    assert ema.half_life(2, images_seen=1000) == pytest.approx(50)
    assert ema.half_life(2, images_seen=10**6) == 2000


def test_a_snapshot_has_batch_norm_statistics_of_its_own_weights() -> None:
    torch.manual_seed(0)
    layer, norm = nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3)
    network = nn.Sequential(layer, norm)
    norm.running_mean.fill_(9.0)
    before = copy.deepcopy(network.state_dict())
    latents = torch.randn(512, 4)
    own = ema.with_own_statistics(network.eval(), latents)
    torch.testing.assert_close(own[1].running_var, layer(latents).detach().var(dim=0), rtol=0.05, atol=0)
    assert own(latents).detach().mean(dim=0).abs().max() < 0.01
    assert not own.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
