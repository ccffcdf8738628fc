"""Names of directions, given by a person who has looked at them."""

import re
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from export.errors import InputError
from service.contract import Card, Direction
from service.contract.inputs import Directions


def named(card: Card, names: Sequence[str]) -> Card:
    """Return the card with directions named by ``0=coat`` and the like; raises InputError."""
    directions = list(card.directions)
    for text in names:
        match = re.fullmatch(r"(\d{1,2})=(.+)", text)
        if not match or int(match[1]) >= len(directions):
            raise InputError(
                f"--name {text} is not a number from 0 to {len(directions) - 1}, = and a name, as in 0=coat"
            )
        directions[int(match[1])] = directions[int(match[1])].model_copy(update={"name": match[2]})
    plain = [Direction.model_dump(one) for one in directions]
    try:
        checked = TypeAdapter(Directions).validate_python(plain)
    except ValidationError as error:
        raise InputError(f"--name: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
    return card.model_copy(update={"directions": checked})
