import pytest
import torch
from torch import nn

from training import networks
from training import recipe as recipes
from training.networks.layers import UpsampleConv
from training.networks.styled import StyledGenerator, on_sphere


def styled(size: int = 32, **settings: str) -> StyledGenerator:
    given = {"family": "styled", "width": "8", "max_width": "32", "latent_dim": "16"} | settings
    fields = [f"generator.{key}={value}" for key, value in given.items()]
    torch.manual_seed(0)
    generator = networks.build_generator(recipes.load("digits-best", fields, images__size=size))
    assert isinstance(generator, StyledGenerator)
    return generator


@pytest.mark.parametrize("size", recipes.SIZES)
def test_every_size_is_made(size: int) -> None:
    images = styled(size)(torch.randn(4, 16))
    assert images.shape == (4, 1, size, size)
    assert images.abs().max() <= 1


def test_filters_double_from_width_at_full_size_up_to_max_width() -> None:
    upsamplings = styled(64).upsamplings
    assert [tuple(layer.kernel().shape[:2]) for layer in upsamplings] == [(32, 32), (32, 32), (32, 16), (16, 8)]


@pytest.mark.parametrize("side", [1, 4, 7])
def test_the_fused_upsampling_equals_nearest_neighbour_and_a_3x3_convolution(side: int) -> None:
    torch.manual_seed(0)
    fused, plain = UpsampleConv(5, 3), nn.Conv2d(5, 3, 3, padding=1, bias=False)
    plain.weight = fused.weight
    x = torch.randn(2, 5, side, side)
    torch.testing.assert_close(fused(x), plain(nn.Upsample(scale_factor=2)(x)), rtol=0, atol=1e-5)


def test_only_the_direction_of_a_latent_counts() -> None:
    generator, latents = styled().eval(), torch.randn(3, 16)
    torch.testing.assert_close(generator(latents), generator(3 * latents))


def test_features_keep_their_scale_through_the_untrained_network() -> None:
    generator = styled(64, width="16", max_width="64", latent_dim="64")
    w = generator.mapping(on_sphere(torch.randn(512, 64)))
    assert 0.7 < w.square().mean() < 1.4
    assert 0.2 < generator(torch.randn(64, 64)).std() < 0.8


def test_the_mean_of_w_is_followed_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = styled()
    monkeypatch.setattr(generator, "synthesise", lambda z, w, labels: w)  # which takes most of the time
    for _ in range(600):
        generator(torch.randn(32, 16))
    wanted = generator.mapping(on_sphere(torch.randn(10_000, 16))).mean(dim=0)
    torch.testing.assert_close(generator.w_mean, wanted, rtol=0, atol=0.1)
    before = generator.w_mean.clone()
    generator.eval()(torch.randn(32, 16))
    assert torch.equal(generator.w_mean, before)


def test_an_image_is_what_its_latent_and_its_w_make() -> None:
    generator, z = styled().eval(), on_sphere(torch.randn(3, 16))
    torch.testing.assert_close(generator.synthesise(z, generator.mapping(z)), generator(z))


def test_untrained_images_differ_as_much_as_their_latents() -> None:
    generator = styled(latent_dim="64")  # in training mode: by the batch's own statistics
    maps = generator.styles[0](generator.first(z := on_sphere(torch.randn(64, 64))), generator.mapping(z)).flatten(1)
    similarities = torch.corrcoef(maps).fill_diagonal_(0)
    assert similarities.abs().max() < 0.6


def test_feature_maps_and_images_are_in_one_layout() -> None:
    generator = styled(64)
    maps: list[torch.Tensor] = []
    for layer in generator.modules():
        layer.register_forward_hook(lambda layer, given, made: maps.append(made))
    images = generator(torch.randn(4, 16))
    assert all(made.is_contiguous(memory_format=torch.channels_last) for made in [*maps, images] if made.ndim == 4)
