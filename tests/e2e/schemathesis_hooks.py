"""What the API's description cannot say: a latent has as many numbers as its model takes, here 8."""

from typing import Any

import schemathesis

SIZE = 8


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if isinstance(case.body, dict):
        case.body = {
            name: fit(value) if name in ("latent", "latents", "from", "to") else value
            for name, value in case.body.items()
        }


def fit(value: Any) -> Any:
    """Repeat a list of numbers to the right length; leave alone whatever is wrong with a value otherwise."""
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
        return (value * SIZE)[:SIZE]
    return [fit(one) for one in value]
