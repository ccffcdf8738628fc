"""From the options of ``train`` to the configuration of a new run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training import auto, distributed
from training import classes as image_classes
from training import recipe as recipes
from training.run import Config


def configure(
    data: Path,
    recipe: str,
    settings: Sequence[str],
    fields: Mapping[str, Any],
    *,
    minutes: float | None,
    classes: str | None,
    seed: int,
    device: str,
    init_from: Path | None,
    say: Callable[[str], None],
) -> tuple[Config, Path | None]:
    """Return the configuration of a new run, and the weights that it starts from, if any; raises InputError.

    Args:
        data: the images.
        recipe: its name or path; ``auto`` chooses one by the images.
        settings: ``key=value`` each, changes of the recipe's fields.
        fields: further changes: dotted keys, with ``__`` for the dot, and values; None changes nothing.
        minutes: the budget; None where it is given in images.
        classes: where an image's class is found; None: the model has no classes.
        seed: of weights, data order and latents.
        device: ``auto``, ``cpu`` or ``cuda``.
        init_from: a run or a file of weights; None leaves it to ``auto``.
        say: called with the sentence that says what ``auto`` chose.
    """
    given = {key: value for key, value in fields.items() if value is not None}
    if recipe == auto.NAME:
        if not (minutes or "kimg" in given or any(one.startswith("kimg=") for one in settings)):
            minutes = auto.MINUTES
        as_it_is = not (init_from or settings or "images__size" in given)
        choice = distributed.on_first_rank(
            lambda: auto.choose(auto.look(data), minutes, classes=bool(classes), as_it_is=as_it_is)
        )
        say(f"{choice.sentence}.")
        recipe, given, init_from = choice.recipe, choice.fields | given, init_from or choice.init_from
    config = Config(
        name=recipe,
        recipe=distributed.on_first_rank(lambda: recipes.load(recipe, settings, **given)),
        data=str(data.absolute()),
        seed=seed,
        device=device,
        minutes=minutes,
        classes=image_classes.absolute(classes),
    )
    return config, init_from
