"""The exponential moving average of a generator's weights: what is sampled, saved and exported (Yazıcı et al. 2019)."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

BATCH = 64  # latents that BatchNorm sees at once when its statistics are computed anew


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, images: int, half_life: float) -> None:
    """Move ``average`` towards ``network`` after a step over ``images``; ``half_life`` is in images too.

    Buffers (BatchNorm's statistics, averages themselves) are copied.
    """
    decay = 0.5 ** (images / half_life)
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


def half_life(target_kimg: float, images_seen: int) -> float:
    """Return the half-life in images: a twentieth of those seen, up to ``target_kimg`` (Karras et al. 2020)."""
    return min(target_kimg * 1000, images_seen * 0.05)


def with_own_statistics(average: nn.Module, *inputs: Tensor) -> nn.Module:
    """Return a copy whose BatchNorm has statistics of its own weights over ``inputs``, in evaluation mode.

    The copied statistics are those of the network that is trained, whose weights differ from their average
    (Izmailov et al. 2018, section 3.3).

    Args:
        average: the network.
        inputs: its arguments, (N, …) each: latents and, if there are classes, labels.
    """
    copied = copy.deepcopy(average)
    update_bn(torch.split(torch.arange(len(inputs[0])), BATCH), _Draws(copied, inputs))
    return copied.eval()


class _Draws(nn.Module):
    """A network as a function of places in its inputs; torch's update_bn passes a single tensor."""

    def __init__(self, network: nn.Module, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs

    def forward(self, places: Tensor) -> Tensor:
        """Map places (B,) to the network's output at them."""
        drawn: Tensor = self.network(*(values[places.to(values.device)] for values in self.inputs))
        return drawn
