from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from training import objectives
from training.networks.layers import MinibatchStd
from training.second_order import TwiceDifferentiable


def critic(*, curved: bool) -> nn.Module:
    """All that a convolution can be asked for, on a size that the transposed one has to be told of."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
    layers += [nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), groups=2, bias=False)]
    layers += [nn.LeakyReLU(0.1), MinibatchStd()] if curved else [nn.LeakyReLU(0.1)]
    layers += [nn.Conv2d(7 if curved else 6, 3, 1), nn.Flatten(), nn.LazyLinear(1), nn.Flatten(0)]
    network = nn.Sequential(*layers).double()
    network(torch.zeros(8, 2, 13, 12, dtype=torch.float64))
    return network


def penalised(network: nn.Module, context: nullcontext[None] | TwiceDifferentiable) -> list[Tensor]:
    """Return the image gradient, and the weights' gradients of its penalty."""
    images = torch.randn(8, 2, 13, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    images.requires_grad_(True)
    with context:
        score = network(images).sum()
    (gradient,) = torch.autograd.grad(score, images, create_graph=True)
    network.zero_grad()
    (gradient.flatten(1).norm(dim=1) - 1).square().mean().backward()
    # Of a bias torch may say zero and we None.
    return [gradient.detach(), *(weight.grad for weight in network.parameters() if weight.ndim > 1)]


@pytest.mark.parametrize("curved", [False, True])
def test_both_gradients_are_torchs_own(curved: bool) -> None:
    network = critic(curved=curved)
    expected = [tensor.clone() for tensor in penalised(network, nullcontext())]
    torch.testing.assert_close(penalised(network, TwiceDifferentiable()), expected)


class Unusual(nn.Module):
    """Calls that the fast path has to understand or to leave to torch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(4, 2, 3, 3, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(4, 4, 3, 3, dtype=torch.float64))
        self.dynamic = nn.Parameter(torch.randn(4, 4, 1, 1, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        x = functional.leaky_relu(functional.conv2d(images, self.first, padding=1))
        functional.leaky_relu(x, 0.2, inplace=True)
        x = functional.conv2d(input=x, weight=self.second, padding="same") + x
        x = functional.leaky_relu(functional.conv2d(x, self.dynamic * images.mean()))  # a weight that depends on them
        return functional.conv2d(x, self.second, None, 2, (1, 1)).flatten(1).sum(1).square()


def test_defaults_names_words_and_computed_weights_give_torchs_gradients() -> None:
    torch.manual_seed(0)
    network = Unusual()
    expected = [tensor.clone() for tensor in penalised(network, nullcontext())]
    torch.testing.assert_close(penalised(network, TwiceDifferentiable()), expected)


def operations(of: Tensor) -> set[str]:
    """The names of all that the backward pass of a tensor will run."""
    found, waiting = set(), [of.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    return {node.name() for node in found}


@pytest.mark.parametrize("penalty", [objectives.gradient_penalty, objectives.r1_penalty, objectives.r1_r2_penalty])
def test_no_penalty_takes_torchs_detour(penalty: Callable[..., Tensor]) -> None:
    network = critic(curved=False).float()
    found = operations(penalty(network, torch.randn(8, 2, 13, 12), torch.randn(8, 2, 13, 12)))
    assert "ConvolutionBackwardBackward0" not in found
    assert "ConvolutionBackward0" in found  # of the transposed one
    assert "_LeakyReLUBackward" not in found  # nothing goes back through the first pass of a piecewise linear critic
