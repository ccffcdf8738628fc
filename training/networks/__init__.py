"""Generators and critics, built from a recipe alone; a new family is one function and its line in a table here."""

from torch import nn

from training.networks import critics, generators
from training.recipe import Recipe

GENERATORS = {"transposed": generators.transposed, "upsample": generators.upsample}


def build_generator(recipe: Recipe) -> nn.Sequential:
    """Return the recipe's generator: latent (N, Z) -> image (N, C, S, S) in [-1, 1]."""
    generator = GENERATORS[recipe.generator.family](recipe.generator, recipe.images)
    return generator.apply(_initialise)


def build_critic(recipe: Recipe) -> nn.Module:
    """Return the recipe's critic: image (N, C, S, S) in [-1, 1] -> score (N,), unbounded.

    Raises:
        InputError: critic.frozen is more than its convolutions.
    """
    critic = critics.strided(recipe.critic, recipe.images).apply(_initialise)
    critics.freeze(critic, recipe.critic.frozen)
    return critic


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _initialise(layer: nn.Module) -> None:
    """Draw weights from N(0, 0.02), scales from N(1, 0.02) (Radford et al. 2016, section 4)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
