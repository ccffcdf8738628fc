"""The moving average of a generator's weights: what is sampled, saved and exported (Yazıcı et al. 2019)."""

import torch
from torch import nn


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
