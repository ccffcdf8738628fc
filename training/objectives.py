"""Objectives: losses on scores (N,) and penalties on the critic's gradient, as pure functions.

A new objective is a loss or two, a function that combines them into an :class:`Objective`, and its line in
:data:`OBJECTIVES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from training.configs import ObjectiveConfig
from training.errors import InputError
from training.registry import Registry
from training.second_order import TwiceDifferentiable

Critic = Callable[[Tensor], Tensor] | nn.Module


Loss = Callable[[Tensor, Tensor], Tensor]  # of real and generated scores, (N,) each -> scalar
Penalty = Callable[[Critic, Tensor, Tensor], Tensor]  # of the critic, real and generated images -> scalar


@dataclass(frozen=True)
class Objective:
    """Two losses, a gradient penalty, and what their values can be compared with."""

    critic_loss: Loss
    generator_loss: Loss
    penalty: Penalty | None = None  # multiplied by objective.penalty of the recipe
    squared_gradient: bool = False  # the penalty is a square of the gradient, which falls as the size grows
    paired: bool = False  # the generator's loss depends on the real scores, too
    signed_scores: bool = False  # a positive score means "real", so that the sign shows overfitting
    bounded_loss: bool = False  # the loss has a natural scale, so that a large one shows divergence


def wasserstein_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Negated estimate of the Wasserstein-1 distance (Arjovsky et al. 2017, eq. 2)."""
    return fake_scores.mean() - real_scores.mean()


def wasserstein_generator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The part of that distance that depends on the generator."""
    return -fake_scores.mean()


def bce_critic_loss(real_scores: Tensor, fake_scores: Tensor, real_label: float = 1.0) -> Tensor:
    """Cross-entropy of logits, real images labelled ``real_label`` and generated ones 0.

    A label of 0.9 is the one-sided smoothing of Salimans et al. 2016.
    """
    labels = torch.full_like(real_scores, real_label)
    return binary_cross_entropy_with_logits(real_scores, labels) + softplus(fake_scores).mean()


def non_saturating_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """-log D(G(z)), which keeps a gradient where the discriminator is sure (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake_scores).mean()


def pairing_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Relativistic loss: a real image should score above the generated one of its pair (Huang et al. 2024, eq. 2)."""
    return softplus(fake_scores - real_scores).mean()


def pairing_generator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The same loss with the roles swapped, so that a missing mode keeps a loss."""
    return softplus(real_scores - fake_scores).mean()


def gradient_penalty(critic: Critic, reals: Tensor, fakes: Tensor) -> Tensor:
    """Mean of (‖∇D(x̂)‖ - 1)² at random interpolations of real and generated images (Gulrajani et al. 2017, eq. 3).

    Args:
        critic: image (N, C, H, W) -> score (N,).
        reals: (N, C, H, W) float32.
        fakes: as ``reals``; no gradient flows into either.
    """
    mix = torch.rand(reals.shape[0], 1, 1, 1, device=reals.device)
    between = torch.lerp(fakes.detach(), reals, mix)
    norms: Tensor = torch.linalg.vector_norm(_gradients(critic, between), dim=1)
    return (norms - 1).square().mean()


def r1_penalty(critic: Critic, reals: Tensor, fakes: Tensor) -> Tensor:
    """Half the mean of ‖∇D(x)‖² at real images (Mescheder et al. 2018, eq. 9); ``fakes`` are ignored."""
    return _gradients(critic, reals).square().sum(dim=1).mean() / 2


def r1_r2_penalty(critic: Critic, reals: Tensor, fakes: Tensor) -> Tensor:
    """R1 at real and R2 at generated images, added (Huang et al. 2024, section 3)."""
    return r1_penalty(critic, reals, fakes) + r1_penalty(critic, fakes, reals)


def _gradients(critic: Critic, images: Tensor) -> Tensor:
    """Return the gradient of each score by its image, flat: (N, C*H*W), itself differentiable."""
    images = images.detach().requires_grad_(True)
    with TwiceDifferentiable():
        score = critic(images).sum()
    (gradient,) = torch.autograd.grad(score, images, create_graph=True)
    return gradient.flatten(1)


def wgan_gp(config: ObjectiveConfig) -> Objective:
    """Wasserstein distance with a gradient penalty (Gulrajani et al. 2017)."""
    return Objective(wasserstein_critic_loss, wasserstein_generator_loss, gradient_penalty)


def dcgan(config: ObjectiveConfig) -> Objective:
    """Non-saturating cross-entropy, with R1 where a penalty is set (Radford et al. 2016; Mescheder et al. 2018)."""
    critic_loss = partial(bce_critic_loss, real_label=config.real_label)
    return Objective(
        critic_loss, non_saturating_loss, r1_penalty, squared_gradient=True, signed_scores=True, bounded_loss=True
    )


def gan(config: ObjectiveConfig) -> Objective:
    """Cross-entropy, the mean of both halves, and no penalty (Goodfellow et al. 2014), as in the digits article."""

    def critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return bce_critic_loss(real_scores, fake_scores, config.real_label) / 2

    return Objective(critic_loss, non_saturating_loss, signed_scores=True, bounded_loss=True)


def r3gan(config: ObjectiveConfig) -> Objective:
    """Relativistic pairing with R1 + R2 (Huang et al. 2024)."""
    return Objective(
        pairing_critic_loss,
        pairing_generator_loss,
        r1_r2_penalty,
        squared_gradient=True,
        paired=True,
        bounded_loss=True,
    )


OBJECTIVES: Registry[Callable[[ObjectiveConfig], Objective]] = Registry(
    "objectives", {"wgan-gp": wgan_gp, "dcgan": dcgan, "gan": gan, "r3gan": r3gan}
)


def build(config: ObjectiveConfig) -> Objective:
    """Return the objective that a recipe names.

    Raises:
        InputError: there is no such objective, or the recipe weights a penalty that it does not have.
    """
    objective = OBJECTIVES[config.name](config)
    if config.penalty and objective.penalty is None:
        raise InputError(f"objective.penalty: {config.name} has no gradient penalty; set objective.penalty=0")
    return objective
