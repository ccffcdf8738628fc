"""Start a run from another run's networks: tensors whose name and shape fit are taken, the rest starts anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from training import networks
from training.errors import InputError
from training.recipe import Recipe
from training.run import Origin, load_checkpoint_of
from training.step import Game

# What to make alike in both runs where not one layer fits.
ALIKE = {
    "generator": "generator.family, generator.width and images.size",
    "critic": "critic.width",
}


@dataclass(frozen=True)
class Source:
    """The networks of another run, as tensors by name."""

    origin: Origin
    generator: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    critic: Mapping[str, Tensor]


def read(path: Path) -> Source:
    """Read the networks of a run folder's latest checkpoint, or of a checkpoint file; raises InputError for others."""
    state = load_checkpoint_of(path)
    try:
        game, origin = state["game"], Origin(path=str(path.absolute()), images_seen=state["seen"])
        return Source(origin, game["generator"], game["average"], game["critic"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"--init-from {path} is no checkpoint of a run: name the run's folder") from error


def describe(source: Source, recipe: Recipe) -> str:
    """Return a sentence on what a recipe's networks take of a source.

    Raises:
        InputError: no layer of one of them fits, or the recipe freezes a layer that does not.
    """
    critic = networks.build_critic(recipe)
    generator_share = _share(source, "generator", networks.build_generator(recipe), source.generator)
    critic_share = _share(source, "critic", critic, source.critic)
    frozen = {name for name, weight in critic.named_parameters() if not weight.requires_grad}
    if frozen - _fitting(critic, source.critic).keys():
        raise InputError(
            f"--init-from {source.origin.path}: critic.frozen={recipe.critic.frozen} would freeze layers that do not "
            "fit that run's and start at random; freeze fewer"
        )
    return (
        f"init-from {source.origin.path} at {source.origin.images_seen:,} images seen: {generator_share} parameters of "
        f"the generator and {critic_share} of the critic are taken, others start anew"
    )


def take(source: Source, game: Game) -> None:
    """Put what fits of a source into a game's networks."""
    game.generator.load_state_dict(_fitting(game.generator, source.generator), strict=False)
    game.average.load_state_dict(_fitting(game.average, source.average), strict=False)
    game.critic.load_state_dict(_fitting(game.critic, source.critic), strict=False)


def _fitting(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors that have the name and shape of one of the network's."""
    mine = network.state_dict()
    return {name: tensor for name, tensor in tensors.items() if name in mine and mine[name].shape == tensor.shape}


def _share(source: Source, name: str, network: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """Return how many of how many parameters fit; raises InputError where no convolution or linear layer does."""
    fitting = _fitting(network, tensors)
    if not any(tensor.ndim > 1 for tensor in fitting.values()):  # a bias or a norm without its kernel is worth nothing
        raise InputError(
            f"--init-from {source.origin.path}: no layer of its {name} fits this run's; "
            f"make {ALIKE[name]} of the two runs alike"
        )
    counts = {name: weight.numel() for name, weight in network.named_parameters()}
    return f"{sum(count for name, count in counts.items() if name in fitting):,} of {sum(counts.values()):,}"
