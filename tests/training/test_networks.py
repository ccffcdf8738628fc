import pytest
import torch
from torch import nn

from tests.training.conftest import tiny_recipe
from training import networks
from training import recipe as recipes
from training.errors import InputError
from training.networks.layers import MinibatchStd, SkipExcitation


@pytest.mark.parametrize("size", recipes.SIZES)
@pytest.mark.parametrize("family", ["transposed", "upsample"])
@pytest.mark.parametrize("stride", [2, 4])
def test_every_size_is_made_and_scored(size: int, family: str, stride: int) -> None:
    settings = [
        f"generator.family={family}",
        f"generator.second_stride={stride}",
        "critic.width=4",
        "generator.width=4",
    ]
    recipe = recipes.load("digits-best", settings, images__size=size)
    images = networks.build_generator(recipe)(torch.randn(8, recipe.generator.latent_dim))
    assert images.shape == (8, 1, size, size)
    assert images.abs().max() <= 1
    for critic in networks.CRITICS:
        scored = recipes.load("digits-best", [*settings, f"critic.family={critic}"], images__size=size)
        assert networks.build_critic(scored)(images).shape == (8,)


def test_the_lotus_generator_has_five_4x4_transposed_convolutions_of_the_article() -> None:
    layers = networks.build_generator(recipes.load("lotus")).modules()
    grown = [layer for layer in layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.kernel_size for layer in grown] == [(4, 4)] * 5
    assert [layer.stride[0] for layer in grown] == [1, 4, 2, 2, 2]


def test_a_gate_that_has_learned_nothing_lets_half_of_every_channel_through() -> None:
    excitation = SkipExcitation(low=5, high=3)
    for parameter in excitation.parameters():
        nn.init.zeros_(parameter)
    large = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(excitation(large, torch.randn(2, 5, 4, 4)), large / 2)


def test_a_gate_scales_whole_channels_by_what_the_small_map_holds() -> None:
    excitation = SkipExcitation(low=5, high=3)
    opened = excitation(torch.ones(2, 3, 32, 32), torch.randn(2, 5, 8, 8) * 10)
    torch.testing.assert_close(opened, opened[:, :, :1, :1].expand_as(opened))
    assert not torch.allclose(opened[0], opened[1])
    assert opened.min() >= 0
    assert opened.max() <= 1


@pytest.mark.parametrize("size", [64, 128, 256])
def test_maps_are_gated_from_three_doublings_below(size: int) -> None:
    settings = [
        "generator.family=transposed",
        "generator.width=4",
        "generator.max_width=16",
        "generator.skip_excitation=true",
    ]
    generator = networks.build_generator(recipes.load("lotus-best", settings, images__size=size))
    seen: list[tuple[int, int]] = []
    for layer in generator.modules():
        if isinstance(layer, SkipExcitation):
            layer.register_forward_hook(lambda _, maps, __: seen.append((maps[1].shape[-1], maps[0].shape[-1])))
    generator(torch.randn(2, 128))
    assert seen == [(small, small * 8) for small in (4, 8, 16) if small * 8 < size]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_digits_generator_is_the_articles_to_the_layer() -> None:
    generator = networks.build_generator(recipes.load("digits"))
    layers = list(generator.modules())
    assert parameters(generator) == 726_209
    assert [layer.out_features for layer in layers if isinstance(layer, nn.Linear)] == [7 * 7 * 128]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [(layer.kernel_size, layer.out_channels) for layer in convolutions] == [((3, 3), n) for n in (64, 32, 1)]
    assert sum(isinstance(layer, nn.Upsample) for layer in layers) == 2
    assert [layer.momentum for layer in layers if isinstance(layer, nn.BatchNorm2d)] == pytest.approx([0.2, 0.2])


def test_the_digits_discriminator_is_the_articles_to_the_layer() -> None:
    critic = networks.build_critic(recipes.load("digits"))
    layers = list(critic.modules())
    assert parameters(critic) == 392_833
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.stride[0]) for layer in convolutions] == [(32, 2), (64, 2), (128, 2), (256, 1)]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers) == 3
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.25] * 4
    assert [layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 4
    assert [layer.in_features for layer in layers if isinstance(layer, nn.Linear)] == [4 * 4 * 256]


def test_the_critic_of_cats_doubles_its_filters_with_every_stride() -> None:
    layers = networks.build_critic(recipes.load("cats")).modules()
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == [64, 128, 256, 512]


def test_the_critic_of_a_gradient_penalty_scores_each_image_by_itself() -> None:
    critic = networks.build_critic(tiny_recipe("lotus", images__channels="1"))
    images = torch.randn(6, 1, 16, 16)
    torch.testing.assert_close(critic(images)[:2], critic(images[:2]))


@pytest.mark.parametrize(("frozen", "count"), [("0", 0), ("1", 2), ("2", 5)])  # weight, bias; weight, norm's two
def test_the_first_convolutions_are_frozen_with_their_norms(frozen: str, count: int) -> None:
    weights = list(networks.build_critic(tiny_recipe("cats", critic__frozen=frozen)).parameters())
    assert [weight.requires_grad for weight in weights] == [False] * count + [True] * (len(weights) - count)


def test_no_more_convolutions_are_frozen_than_there_are() -> None:
    critic = networks.build_critic(tiny_recipe(critic__frozen="3"))  # the one after the minibatch deviation, too
    assert [name for name, weight in critic.named_parameters() if weight.requires_grad] == ["8.weight", "8.bias"]
    with pytest.raises(InputError, match=r"critic\.frozen=4: this critic has only 3 convolutions"):
        networks.build_critic(tiny_recipe(critic__frozen="4"))


def test_minibatch_deviation_is_zero_for_copies_and_known_for_opposites() -> None:
    copies = torch.ones(8, 3, 2, 2)
    assert MinibatchStd()(copies)[:, 3].max() < 1e-3
    opposites = torch.cat([torch.full((4, 3, 2, 2), 2.0), torch.full((4, 3, 2, 2), -2.0)])
    torch.testing.assert_close(MinibatchStd()(opposites)[:, 3], torch.full((8, 2, 2), 2.0))


def test_minibatch_deviation_does_not_mix_its_groups() -> None:
    mixed = torch.cat([torch.ones(8, 1, 2, 2), torch.randn(8, 1, 2, 2)])
    appended = MinibatchStd()(mixed)[:, 1]
    assert appended[:8].max() < 1e-3
    assert appended[8:].min() > 0.1


@pytest.mark.parametrize(("size", "redrawn"), [(16, 32), (28, 56), (64, 32), (112, 56), (256, 32)])
def test_real_images_are_redrawn_from_the_second_smallest_map(size: int, redrawn: int) -> None:
    recipe = recipes.load("digits-best", ["critic.width=4", "critic.reconstruction=1"], images__size=size)
    features = networks.build_critic(recipe).features(torch.randn(2, 1, size, size))
    assert networks.build_decoder(recipe)(features).shape == (2, 1, redrawn, redrawn)
