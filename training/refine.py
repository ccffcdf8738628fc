"""Learn to move a generator's latents to where its images are more real.

A generator draws some latents badly: two flowers at once, a face without eyes. Which ones can be learned from samples.
First a network learns to estimate how real an image looks from what the generator computes of its latent before it
draws. Then a second one, the refiner, learns to move latents as little as needed for a good estimate. Drawing costs two
small layers more, and the generator stays as it is. Che et al. (2020) and Ansari et al. (2021) move latents by
gradients of the critic instead, at each drawing.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

BATCH = 128
MEMBERS, HIDDEN = 4, 64  # of the estimate, which is a mean: its gradient is steadier than that of each
LESSONS = 400  # steps; after them it learns samples by heart
HELD = 5  # each fifth sample is kept from the estimator, to measure it
FURTHEST = 2.5  # deviations: a few scores lie so far out that they would outweigh all others

ENOUGH = 0.5  # the estimate that latents are moved to reach: half a deviation above that of the mean sample
SHARPNESS = 8.0  # of the step from moving a latent to leaving it
COST = 0.02  # of a squared distance
WIDTH, SLOPE = 256, 0.2  # of the refiner's hidden layer
STEPS = 1500

Estimate = Callable[[Tensor], Tensor]  # values (N, D) -> (N,)


class Estimator(nn.Module):
    """Estimates how real images look, in standard deviations around the mean of samples.

    Args:
        values: (N, D) that a generator computed of the latents of samples, whose mean and deviation are those of its
            inputs.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", values.mean(dim=0))
        self.register_buffer("deviation", values.std(dim=0).clamp(min=1e-6))
        size = values.shape[1]
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(size, HIDDEN), nn.Softplus(), nn.Dropout(0.3), nn.Linear(HIDDEN, 1))
            for _ in range(MEMBERS)
        )

    def each(self, values: Tensor) -> Tensor:
        """Map values (N, D) to the estimates of all members (members, N)."""
        scaled = (values - self.mean) / self.deviation
        return torch.stack([member(scaled)[:, 0] for member in self.members])

    def forward(self, values: Tensor) -> Tensor:
        """Map values (N, D) to estimates (N,)."""
        return self.each(values).mean(dim=0)


class Learnt(NamedTuple):
    """An estimator, and the share of the variance of scores that it explains of samples that it was not shown."""

    estimator: Estimator
    explained: float


def learn_realism(values: Tensor, scores: Tensor) -> Learnt:
    """Return an estimator of scores (N,), higher for more real images, from values (N, D)."""
    targets = ((scores - scores.mean()) / scores.std()).clamp(-FURTHEST, FURTHEST)
    held = torch.arange(len(values)) % HELD == 0
    shown, goals = values[~held], targets[~held]
    estimator = Estimator(values)
    optimiser = AdamW(estimator.parameters(), lr=2e-3, weight_decay=0.3)
    for _ in range(LESSONS):
        rows = torch.randint(len(shown), (BATCH,))
        loss = (estimator.each(shown[rows]) - goals[rows]).square().mean(dim=1).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    estimator.eval().requires_grad_(False)
    left = (estimator(values[held]) - targets[held]).square().mean() / targets[held].var()
    return Learnt(estimator, 1 - float(left))


class Refiner(nn.Sequential):
    """Latents (N, Z) -> the steps (N, Z) to be added to them; none before training."""

    def __init__(self, latent_dim: int) -> None:
        last = nn.Linear(WIDTH, latent_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(latent_dim, WIDTH), nn.LeakyReLU(SLOPE), last)


def train_refiner(estimate: Estimate, latent_dim: int) -> Refiner:
    """Return a refiner of normal latents, for an estimate of latents (N, Z) through which gradients flow."""
    refiner = Refiner(latent_dim)
    optimiser = Adam(refiner.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, STEPS)
    for _ in range(STEPS):
        latents = torch.randn(BATCH, latent_dim)
        steps = refiner(latents)
        missing = functional.softplus(ENOUGH - estimate(latents + steps), beta=SHARPNESS)
        loss = missing.mean() + COST * steps.square().sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return refiner.requires_grad_(False)
