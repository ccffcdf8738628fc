"""Generators and critics, built from a recipe alone.

A new family is a function that returns any module with weights of its own initialisation, and its line in a table here.
"""

from collections.abc import Callable

from torch import nn

from training.configs import CriticConfig, GeneratorConfig, ImagesConfig, NetworksConfig
from training.errors import InputError
from training.networks import critics, digits, generators, styled
from training.registry import Registry

GENERATORS: Registry[Callable[[GeneratorConfig, ImagesConfig], nn.Module]] = Registry(
    "generator families",
    {"transposed": generators.transposed, "upsample": digits.upsample, "styled": styled.styled},
)
CRITICS: Registry[Callable[[CriticConfig, ImagesConfig], nn.Module]] = Registry(
    "critic families", {"strided": critics.strided, "conv3x3": digits.conv3x3}
)


def build_generator(config: NetworksConfig) -> nn.Module:
    """Return the generator: latent (N, Z) -> image (N, C, S, S) in [-1, 1]."""
    return GENERATORS[config.generator.family](config.generator, config.images)


def build_critic(config: NetworksConfig) -> nn.Module:
    """Return the critic: image (N, C, S, S) in [-1, 1] -> score (N,), unbounded.

    Raises:
        InputError: critic.frozen is more than its convolutions.
    """
    critic = CRITICS[config.critic.family](config.critic, config.images)
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
