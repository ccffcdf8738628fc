import math

import pytest
import torch
from torch import Tensor

from training import objectives
from training.configs import ObjectiveConfig

SHAPE = (6, 2, 4, 4)


class LinearCritic:
    """D(x) = w·x, whose gradient is w at every image."""

    def __init__(self) -> None:
        self.weight = torch.randn(2 * 4 * 4, generator=torch.Generator().manual_seed(1)).requires_grad_(True)

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight


def test_the_gradient_penalty_of_a_linear_critic_is_its_closed_form() -> None:
    critic = LinearCritic()
    penalty = objectives.gradient_penalty(critic, torch.randn(SHAPE), torch.randn(SHAPE))
    norm = critic.weight.detach().norm()
    assert penalty.item() == pytest.approx(float((norm - 1) ** 2), rel=1e-5)
    penalty.backward()
    expected = 2 * (norm - 1) * critic.weight.detach() / norm  # d/dw (‖w‖ - 1)²
    torch.testing.assert_close(critic.weight.grad, expected)


def test_the_gradient_penalty_is_taken_between_real_and_generated_images() -> None:
    seen: list[Tensor] = []

    def critic(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return images.flatten(1).square().sum(1)

    objectives.gradient_penalty(critic, torch.full(SHAPE, 3.0), torch.full(SHAPE, -1.0))
    mix = (seen[0] + 1) / 4
    assert ((mix >= 0) & (mix <= 1)).all()
    assert torch.equal(mix.flatten(1).amin(1), mix.flatten(1).amax(1))  # one mix for a whole image
    assert mix.flatten(1)[:, 0].unique().numel() == SHAPE[0]  # another for each


def test_the_r1_penalty_of_a_linear_critic_is_half_its_squared_norm() -> None:
    critic = LinearCritic()
    penalty = objectives.r1_penalty(critic, torch.randn(SHAPE), torch.full(SHAPE, math.nan))
    assert penalty.item() == pytest.approx(float(critic.weight.detach().square().sum() / 2), rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(critic.weight.grad, critic.weight.detach())


def test_wasserstein_losses_are_the_difference_of_mean_scores() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0])
    assert objectives.wasserstein_critic_loss(real, fake).item() == pytest.approx(-2.5)
    assert objectives.wasserstein_generator_loss(real, fake).item() == pytest.approx(0.5)


@pytest.mark.parametrize("label", [1.0, 0.9])
def test_the_smoothed_cross_entropy_is_the_textbook_one(label: float) -> None:
    real, fake = torch.tensor([0.3, -2.0]), torch.tensor([1.5, 0.1])
    p, q = torch.sigmoid(real), torch.sigmoid(fake)
    expected = -(label * p.log() + (1 - label) * (1 - p).log()).mean() - (1 - q).log().mean()
    assert objectives.bce_critic_loss(real, fake, label).item() == pytest.approx(expected.item(), rel=1e-5)


def test_smoothing_makes_a_too_sure_discriminator_pay() -> None:
    fake = torch.zeros(4)
    sure, calm = torch.full((4,), 20.0), torch.full((4,), math.log(9))  # the logit of 0.9
    assert objectives.bce_critic_loss(sure, fake, 0.9) > objectives.bce_critic_loss(calm, fake, 0.9)
    assert objectives.bce_critic_loss(sure, fake, 1.0) < objectives.bce_critic_loss(calm, fake, 1.0)


def test_the_generator_keeps_its_gradient_while_the_discriminator_wins() -> None:
    scores = torch.tensor([-15.0], requires_grad=True)
    objectives.non_saturating_loss(torch.zeros(1), scores).backward()
    assert scores.grad is not None
    assert scores.grad.item() == pytest.approx(-1.0, abs=1e-5)


def test_the_pairing_losses_compare_each_real_image_with_the_generated_one_beside_it() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    critic = (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(2.0))) / 2
    generator = (math.log1p(math.exp(1.5)) + math.log1p(math.exp(-2.0))) / 2
    assert objectives.pairing_critic_loss(real, fake).item() == pytest.approx(critic)
    assert objectives.pairing_generator_loss(real, fake).item() == pytest.approx(generator)
    assert objectives.pairing_critic_loss(real + 7, fake + 7).item() == pytest.approx(critic, rel=1e-5)


def test_the_penalty_of_r3gan_is_r1_at_real_and_r2_at_generated_images() -> None:
    def critic(images: Tensor) -> Tensor:
        return images.flatten(1).square().sum(1) / 2  # its gradient is the image itself

    reals, fakes = torch.full(SHAPE, 1.0), torch.full(SHAPE, 2.0)
    pixels = math.prod(SHAPE[1:])
    assert objectives.r1_r2_penalty(critic, reals, fakes).item() == pytest.approx((pixels + 4 * pixels) / 2)


def test_each_name_builds_its_own_objective() -> None:
    wgan = objectives.build(ObjectiveConfig(name="wgan-gp"))
    dcgan = objectives.build(ObjectiveConfig(name="dcgan", real_label=0.9))
    real, fake = torch.zeros(2), torch.zeros(2)
    assert wgan.critic_loss(real, fake).item() == 0
    assert dcgan.critic_loss(real, fake).item() == pytest.approx(2 * math.log(2))
    assert wgan.penalty is objectives.gradient_penalty
    assert dcgan.penalty is objectives.r1_penalty


def test_the_loss_of_the_digits_article_is_the_mean_of_both_halves() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.5])
    both = objectives.build(ObjectiveConfig(name="gan")).critic_loss(real, fake)
    halves = [
        torch.nn.functional.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))
        for scores, label in ((real, 1.0), (fake, 0.0))
    ]
    torch.testing.assert_close(both, (halves[0] + halves[1]) / 2)
