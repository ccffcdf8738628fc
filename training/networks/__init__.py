"""Generators and critics, built from a recipe alone.

A new family is a function that returns any module with weights of its own initialisation, and its line in a table here.
One that can also draw or score classes has a second line, for what it builds then.
"""

from collections.abc import Callable

from torch import nn

from training.configs import CriticConfig, GeneratorConfig, ImagesConfig, NetworksConfig
from training.errors import InputError
from training.networks import conditional, critics, digits, generators, styled
from training.registry import Registry

GENERATORS: Registry[Callable[[GeneratorConfig, ImagesConfig], nn.Module]] = Registry(
    "generator families",
    {"transposed": generators.transposed, "upsample": digits.upsample, "styled": styled.styled},
)
CRITICS: Registry[Callable[[CriticConfig, ImagesConfig], nn.Module]] = Registry(
    "critic families", {"strided": critics.strided, "conv3x3": digits.conv3x3}
)
# The same for classes, of which the third argument is the number.
CONDITIONAL_GENERATORS: Registry[Callable[[GeneratorConfig, ImagesConfig, int], nn.Module]] = Registry(
    "generator families with classes",
    {
        "transposed": conditional.latent(generators.transposed),
        "upsample": conditional.latent(digits.upsample),
        "styled": styled.styled_classes,
    },
)
CONDITIONAL_CRITICS: Registry[Callable[[CriticConfig, ImagesConfig, int], nn.Module]] = Registry(
    "critic families with classes",
    {"strided": conditional.projection(critics.strided), "conv3x3": conditional.projection(digits.conv3x3)},
)


def build_generator(config: NetworksConfig, classes: int = 0) -> nn.Module:
    """Return the generator: latent (N, Z) and, if there are classes, label (N,) -> image (N, C, S, S) in [-1, 1].

    Raises:
        InputError: there are classes, and the family has none.
    """
    family = config.generator.family
    if classes:
        return CONDITIONAL_GENERATORS[family](config.generator, config.images, classes)
    return GENERATORS[family](config.generator, config.images)


def build_critic(config: NetworksConfig, classes: int = 0) -> nn.Module:
    """Return the critic: image (N, C, S, S) in [-1, 1] and, if there are classes, label (N,) -> score (N,), unbounded.

    Raises:
        InputError: critic.frozen is more than its convolutions; or there are classes, and the family has none.
    """
    family = config.critic.family
    if classes:
        critic = CONDITIONAL_CRITICS[family](config.critic, config.images, classes)
    else:
        critic = CRITICS[family](config.critic, config.images)
    critics.freeze(critic, config.critic.frozen)
    return critic


def build_decoder(config: NetworksConfig) -> nn.Module:
    """Return the decoder of ``critic.reconstruction``: features of the critic -> small images.

    Raises:
        InputError: the critic family has no features for a decoder.
    """
    if CRITICS[config.critic.family] is not critics.strided:
        raise InputError(
            f"critic.family {config.critic.family} has no decoder; set critic.reconstruction=0 or critic.family=strided"
        )
    return critics.decoder(config.critic, config.images)


def count_parameters(network: nn.Module) -> int:
    """Return how many parameters the network trains."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
