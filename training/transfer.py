"""Start from networks that were trained before: tensors whose name and shape fit are loaded, the rest is initialised.

They are those of a run folder, or of a file that ``python -m export weights`` wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from training import networks, weights
from training.errors import InputError
from training.gan import GAN
from training.recipe import Recipe
from training.run import InitFrom, load_checkpoint_of

# What to make alike in both runs where not one layer fits.
ALIKE = {
    "generator": "generator.family, generator.width and images.size",
    "critic": "critic.width",
}


@dataclass(frozen=True)
class Pretrained:
    """The networks of another run, as tensors by name."""

    origin: InitFrom
    generator: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    critic: Mapping[str, Tensor]


def read(path: Path) -> Pretrained:
    """Read the networks of a run's latest checkpoint, or of a file of weights; raises InputError for others."""
    if path.suffix == weights.SUFFIX:
        return _from_weights(path)
    state = load_checkpoint_of(path)
    try:
        gan, origin = state["gan"], InitFrom(path=str(path.absolute()), images_seen=state["seen"])
        return Pretrained(origin, gan["generator"], gan["average"], gan["critic"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"--init-from {path} is no checkpoint of a run: name the run's folder") from error


def _from_weights(path: Path) -> Pretrained:
    about, parts = weights.read(path)
    origin = InitFrom(
        path=str(path.absolute()), images_seen=about.images_seen, licence=about.licence, data_licence=about.data_licence
    )
    # The generator itself is not shipped: its average draws better, and is as good to go on from.
    return Pretrained(origin, parts["average"], parts["average"], parts["critic"])


def describe(pretrained: Pretrained, recipe: Recipe, classes: int = 0) -> str:
    """Return a sentence on what a recipe's networks take of a pretrained.

    Raises:
        InputError: no layer of one of them fits, or the recipe freezes a layer that does not.
    """
    critic = networks.build_critic(recipe, classes)
    generator_share = _share(pretrained, "generator", networks.build_generator(recipe, classes), pretrained.generator)
    critic_share = _share(pretrained, "critic", critic, pretrained.critic)
    frozen = {name for name, weight in critic.named_parameters() if not weight.requires_grad}
    if frozen - _fitting(critic, pretrained.critic).keys():
        raise InputError(
            f"--init-from {pretrained.origin.path}: critic.frozen={recipe.critic.frozen} would freeze layers that "
            "do not fit that run's and are initialised at random; freeze fewer"
        )
    origin = pretrained.origin
    terms = f"; weights: {origin.licence}, their images: {origin.data_licence}" if origin.licence else ""
    return (
        f"init-from {origin.path} at {origin.images_seen:,} images seen: {generator_share} "
        f"parameters of the generator and {critic_share} of the critic are loaded, others are initialised{terms}"
    )


def load_into(pretrained: Pretrained, gan: GAN) -> None:
    """Load the tensors that fit into a GAN's networks."""
    gan.generator.load_state_dict(_fitting(gan.generator, pretrained.generator), strict=False)
    gan.average.load_state_dict(_fitting(gan.average, pretrained.average), strict=False)
    gan.critic.load_state_dict(_fitting(gan.critic, pretrained.critic), strict=False)


def _fitting(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors that have the name and shape of one of the network's.

    A network with classes may be one without, and an embedding around it.
    """
    found = {name: (mine, _find(name, tensors)) for name, mine in network.state_dict().items()}
    return {name: theirs for name, (mine, theirs) in found.items() if theirs is not None and mine.shape == theirs.shape}


def _find(name: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
    inner = name.removeprefix("critic.").removeprefix("generator.")
    names = (name, inner, f"critic.{inner}", f"generator.{inner}")
    return next((tensors[one] for one in names if one in tensors), None)


def _share(pretrained: Pretrained, name: str, network: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """Return how many of how many parameters fit; raises InputError where no convolution or linear layer does."""
    fitting = _fitting(network, tensors)
    if not any(tensor.ndim > 1 for tensor in fitting.values()):  # a bias or a norm is useless without its kernel
        raise InputError(
            f"--init-from {pretrained.origin.path}: no layer of its {name} fits this run's; "
            f"make {ALIKE[name]} of the two runs alike"
        )
    counts = {name: weight.numel() for name, weight in network.named_parameters()}
    return f"{sum(count for name, count in counts.items() if name in fitting):,} of {sum(counts.values()):,}"
