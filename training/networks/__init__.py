"""Generators and critics, built from a recipe alone; a new family is one function and its line in a table here."""

from torch import nn

from training.networks import critics, generators, styled
from training.recipe import Recipe

GENERATORS = {"transposed": generators.transposed, "upsample": generators.upsample, "styled": styled.styled}


def build_generator(recipe: Recipe) -> nn.Module:
    """Return the recipe's generator: latent (N, Z) -> image (N, C, S, S) in [-1, 1]."""
    return GENERATORS[recipe.generator.family](recipe.generator, recipe.images)


def build_critic(recipe: Recipe) -> nn.Module:
    """Return the recipe's critic: image (N, C, S, S) in [-1, 1] -> score (N,), unbounded.

    Raises:
        InputError: critic.frozen is more than its convolutions.
    """
    critic = critics.strided(recipe.critic, recipe.images)
    critics.freeze(critic, recipe.critic.frozen)
    return critic


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
