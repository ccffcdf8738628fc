"""What the API's description cannot say, as it depends on the model: here each has 8 numbers and every input."""

import io
import re
from typing import Any

import schemathesis
from hypothesis import strategies
from PIL import Image

from service.formats import photo

SIZE, CLASS, DIRECTIONS = 8, "A", 2
LATENTS = ("latent", "latents", "from", "to", "points")


def _picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (16, 16), 128).save(file, kind)
    return file.getvalue()


for media_type, kind in zip(photo.MEDIA_TYPES, photo.FORMATS, strict=True):
    schemathesis.openapi.media_type(media_type, strategies.just(_picture(kind)))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if isinstance(case.body, dict):
        case.body = {name: _known(name, value) for name, value in case.body.items()}
        _give_room(case.body)
    if isinstance(case.query, dict):
        query = {name: _short(_few(value)) for name, value in case.query.items() if name not in FURTHER}
        case.query = {name: _known(name, value) for name, value in query.items()}


FURTHER = {f"d{number}" for number in range(DIRECTIONS, 16)}  # directions that the models do not have


def _few(value: Any) -> Any:
    """Return a parameter that is given two times at most: many are refused for their number, not for what they say."""
    return value[:2] if isinstance(value, list) else value


def _short(value: Any) -> Any:
    """Return a text that is too long for its parameter as one that the server reads, and that is too long still."""
    return 300 * "x" if isinstance(value, str) and len(value) > 256 else value


def _known(name: str, value: Any) -> Any:
    """Return a value for these models; leave alone whatever is wrong with it otherwise."""
    if name == "size" and isinstance(value, str) and re.fullmatch("[0-9]{1,5}x[0-9]{1,5}", value, re.ASCII):
        return "32x32"
    if name in LATENTS:
        return fit(value)
    if name == "class" and _is_name(value):
        return CLASS
    if name == "classes" and isinstance(value, list):
        return [CLASS if _is_name(one) else one for one in value]
    if name == "directions" and isinstance(value, dict) and len(value) <= 16 and all(map(_is_name, value)):
        amounts = list(value.values())
        return {"0": next((one for one in amounts if not _is_amount(one)), amounts[0])} if amounts else {}
    if name == "directions" and isinstance(value, list) and len(value) <= 16 and all(map(_is_amount, value)):
        return value[:DIRECTIONS]
    return value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 256


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -100 <= value <= 100


def _give_room(body: dict[str, Any]) -> None:
    """Let each point and class have a frame, and each frame its time; let there be a label for each latent."""
    steps, seconds = body.get("steps", 16), body.get("seconds")
    wanted = [len(body[name]) for name in ("points", "classes") if isinstance(body.get(name), list)]
    walks = bool({"from", "to", "points"} & body.keys())
    if walks and wanted and isinstance(steps, int | float) and steps in range(2, 65) and max(wanted) <= 64:
        body["steps"] = max(int(steps), *wanted)
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0.1 <= seconds <= 2:
        body["seconds"] = 2
    labels, latents = body.get("labels"), body.get("latents")
    if isinstance(labels, list) and isinstance(latents, list) and all(_is_label(one) for one in labels):
        body["labels"] = [0] * len(latents)


def _is_label(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value in range(1000)


def fit(value: Any) -> Any:
    """Repeat a list of numbers to the right length; leave alone whatever is wrong with a value otherwise."""
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
        return (value * SIZE)[:SIZE]
    return [fit(one) for one in value]
