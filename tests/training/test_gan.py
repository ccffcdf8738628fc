import copy

import pytest
import torch
from torch import Tensor

from tests.training.conftest import tiny_recipe
from training.device import Device
from training.gan import GAN

CPU = Device(torch.device("cpu"), bfloat16=False)


def make_gan(name: str = "digits-best", device: Device = CPU, **changes: str) -> GAN:
    torch.manual_seed(0)
    return GAN(tiny_recipe(name, images__channels="1", **changes), device)


def reals(count: int = 16) -> Tensor:
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


def snapshot(network: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in kernels(network)]


def kernels(network: torch.nn.Module) -> list[Tensor]:
    """Return the weights without biases; the last bias of a Wasserstein critic has no gradient."""
    return [parameter for parameter in network.parameters() if parameter.ndim > 1]


@pytest.mark.parametrize("name", ["digits", "digits-best", "cats", "lotus"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_step_updates_every_kernel_of_both_networks(name: str, bfloat16: bool) -> None:
    gan = make_gan(name, Device(torch.device("cpu"), bfloat16))
    before = snapshot(gan.generator), snapshot(gan.critic)
    stats = gan.step(reals(gan.images_per_step(0)), images_seen=0)
    for was, network in zip(before, (gan.generator, gan.critic), strict=True):
        assert all(not torch.equal(a, b) for a, b in zip(was, kernels(network), strict=True))
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert all(value.isfinite() for value in stats.values())
    assert {"critic_loss", "generator_loss", "real_score", "fake_score"} <= set(stats)


def test_the_generator_learns_a_white_image() -> None:
    gan = make_gan(optimiser__generator_lr="2e-3", optimiser__critic_lr="2e-3")
    white = torch.ones(16, 1, 16, 16)
    for i in range(60):
        gan.step(white, images_seen=16 * i)
    assert gan.sample(torch.randn(64, 16)).mean() > 0.5  # it was grey, 0, before


@pytest.mark.parametrize("name", ["digits-best", "cats", "lotus"])  # R1; BatchNorm; the penalty of WGAN-GP
def test_frozen_layers_are_not_updated_and_pass_gradients_to_the_generator(name: str) -> None:
    gan = make_gan(name, critic__frozen="1")
    before, generator = snapshot(gan.critic), snapshot(gan.generator)
    frozen = {key for key, weight in gan.critic.named_parameters() if not weight.requires_grad}
    was = {key: weight.clone() for key, weight in gan.critic.named_parameters()}
    for i in range(2):
        gan.step(reals(gan.images_per_step(0)), images_seen=16 * i)
    assert frozen == {"0.weight", "0.bias"}
    assert all(torch.equal(weight, was[key]) for key, weight in gan.critic.named_parameters() if key in frozen)
    assert all(not torch.equal(a, b) for a, b in zip(before[1:], kernels(gan.critic)[1:], strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(generator, kernels(gan.generator), strict=True))


def test_a_lazy_penalty_is_computed_at_its_interval_and_weighted_by_it() -> None:
    lazy = make_gan(objective__penalty_every="3")
    assert ["penalty" in lazy.step(reals(), 0) for _ in range(6)] == [True, False, False] * 2


def test_a_lazy_penalty_counts_the_critics_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = make_gan("lotus", objective__penalty_every="3")  # five critic steps for one of the generator
    counted: list[bool] = []
    train = lazy._train_critic
    monkeypatch.setattr(
        lazy, "_train_critic", lambda *given, penalised: counted.append(penalised) or train(*given, penalised=penalised)
    )
    for _ in range(3):
        lazy.step(reals(80), 0)
    assert counted == [True, False, False] * 5


def test_the_batch_doubles_after_the_images_that_the_recipe_names() -> None:
    late = make_gan("lotus", double_batch_kimg="1")
    assert [late.images_per_step(seen) for seen in (0, 999, 1000, 5000)] == [80, 80, 160, 160]  # five critic steps
    assert make_gan("lotus", double_batch_kimg="null").images_per_step(10**9) == 80
    stats = late.step(reals(160), images_seen=1000)
    assert all(value.isfinite() for value in stats.values())


def test_real_and_generated_batches_get_the_same_scores_in_one_pass_as_in_two() -> None:
    gan = make_gan()
    images, fakes = reals(), -reals()
    together = gan._score(images, fakes)
    torch.testing.assert_close(together, (gan.critic(images), gan.critic(fakes)))


def test_the_generator_step_computes_no_gradients_of_the_critics_weights() -> None:
    gan = make_gan()
    gan._train_generator(reals(), gan._generate(16, with_graph=True))
    assert all(weight.grad is None for weight in gan.critic.parameters())
    assert all(weight.grad is not None for weight in gan.generator.parameters())


def test_learning_rates_fall_linearly_only_where_the_recipe_says_so() -> None:
    decaying, steady = make_gan(), make_gan("cats")
    for gan in (decaying, steady):
        gan.set_learning_rates(0.75)
    assert decaying.critic_optimiser.param_groups[0]["lr"] == pytest.approx(1e-4)
    assert steady.generator_optimiser.param_groups[0]["lr"] == pytest.approx(2e-4)
    assert steady.critic_optimiser.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_a_step_after_a_restored_state_is_the_same_step() -> None:
    first = make_gan("digits")  # with dropout: the random state counts
    first.step(reals(), 0)
    state = copy.deepcopy(first.state_dict())
    mine = first.step(reals(), 16)
    restored = make_gan("digits")
    restored.load_state_dict(state)
    assert restored.step(reals(), 16) == mine
    assert all(
        torch.equal(a, b) for a, b in zip(first.average.parameters(), restored.average.parameters(), strict=True)
    )


def test_the_reconstruction_error_falls() -> None:
    gan = make_gan(critic__reconstruction="5", optimiser__critic_lr="2e-3")
    errors = [float(gan.step(reals(), images_seen=16 * i)["reconstruction"]) for i in range(60)]
    assert errors[-1] < 0.7 * errors[0]


def test_the_decoder_is_part_of_the_state() -> None:
    first, second = (make_gan(critic__reconstruction="5") for _ in range(2))
    first.step(reals(), images_seen=0)
    second.load_state_dict(first.state_dict())
    assert first.decoder is not None
    assert second.decoder is not None
    for mine, theirs in zip(first.decoder.parameters(), second.decoder.parameters(), strict=True):
        assert torch.equal(mine, theirs)
