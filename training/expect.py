"""What a budget buys: how much of a recipe's own length, and what the shipped models looked like by then."""

from collections.abc import Iterator

from training import recipe as recipes
from training.errors import InputError
from training.run import Config

# What the shipped cats, lotus and emoji showed up to these shares of their runs, by eye: docs/gallery/README.md.
STAGES = (
    (0.04, "patches of colour"),
    (0.15, "shapes without details: discs, blurred faces, blots"),
    (0.4, "recognisable subjects, many of them smeared"),
    (0.8, "most subjects whole, with errors in details"),
)
GHOSTS = "what the weights that it starts from drew, in the colours of your images"  # instead of the first


def lines(config: Config, speed: float | None = None) -> Iterator[str]:
    """Yield a sentence where a run is shorter than its recipe asks for.

    Args:
        config: of the run, with its budget in ``recipe.kimg`` or in minutes.
        speed: measured, in images a second; without it a budget in minutes says nothing.
    """
    try:
        asked = recipes.load(config.name).kimg
    except InputError:  # a recipe of one's own that is no longer there
        return
    if config.minutes:
        kimg, budget = config.minutes * 60 * (speed or 0) / 1000, f"{config.minutes:g} minutes"
    else:
        kimg, budget = config.recipe.kimg, f"{config.recipe.kimg:g} kimg"
    share = kimg / asked
    if 0 < share < 1:
        stage = next((what for until, what in STAGES if share <= until), "nearly what the whole run would give")
        if config.init_from:
            stage = GHOSTS if share <= STAGES[0][0] else f"{stage}, or better, from trained weights"
        yield f"{budget} are {share:.0%} of the {asked:g} kimg that {config.name} asks for; expect {stage}"
