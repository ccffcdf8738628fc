"""``python -m tests.fuzz.parsers``: atheris makes bytes; a parser takes them, or refuses them as the client's fault."""

import contextlib
import sys
from types import SimpleNamespace
from typing import Any

import atheris

with atheris.instrument_imports(include=["service.web", "service.keys"]):
    from starlette.datastructures import Headers
    from starlette.requests import Request

    from service.web import app, auth, body, images, negotiation, schemas
    from service.web.interpolate import read_interpolation, to_interpolation
    from service.web.invert import MAX_STEPS, InvertQuery
    from service.web.problems import Problem
    from service.web.render import ArrayRequest
from service.engine.library import Library
from service.engine.model import Model
from service.formats.registry import MOVING, STILL, offered
from tests import tiny

SESSION: Any = SimpleNamespace()  # nothing is drawn
LIBRARY = Library([Model(card, "0" * 64, "cpu", SESSION) for card in (tiny.card("grey"), tiny.conditional("letters"))])
FIELDS = [
    "model",
    "seed",
    "seeds",
    "latent",
    "latents",
    "n",
    "truncation",
    "from",
    "to",
    "steps",
    "path",
    "form",
    "format",
    "class",
    "classes",
    "directions",
    "scale",
    "resample",
    "points",
    "loop",
    "seconds",
]
JSON = Headers({"content-type": "application/json"})


def generate(data: bytes) -> None:
    request = schemas.to_render_request(schemas.read_request(body.parse_json(JSON, data), 64), LIBRARY)
    assert 1 <= len(request) <= 64


def fields(data: bytes) -> None:
    """What is JSON, and has the fields' names: bytes seldom are."""
    made = atheris.FuzzedDataProvider(data)
    body = {made.PickValueInList(FIELDS): value(made) for _ in range(made.ConsumeIntInRange(0, 4))}
    for schema in (schemas.InterpolateRequest, schemas.GenerateRequest):
        with contextlib.suppress(Problem):
            schemas.validate(schema, body)
    schemas.to_render_request(schemas.read_request(body, 64), LIBRARY)


def value(made: Any, depth: int = 0) -> Any:
    one = made.ConsumeIntInRange(0, 7 if depth < 3 else 5)
    if one > 5:
        return [value(made, depth + 1) for _ in range(made.ConsumeIntInRange(0, 9))]
    numbers = made.ConsumeFloat(), made.ConsumeInt(5), 8 * [made.ConsumeRegularFloat()]
    simple = (None, True, made.PickValueInList(["A", "weight", "letters", made.ConsumeUnicode(4)]), *numbers)
    return simple[one]


def interpolate(data: bytes) -> None:
    wanted = read_interpolation(body.parse_json(JSON, data))
    frames = to_interpolation(wanted, schemas.find_model(LIBRARY, wanted.model))
    assert 2 <= len(frames) <= 64


def accept(data: bytes) -> None:
    formats = offered(MOVING + STILL)
    first, *more = data.split(b"\n")
    name = first.decode("latin1") if first.startswith(b"w") else None
    given = Headers(raw=[(b"accept", part) for part in more])
    assert negotiation.Offer(formats).choose(name, given) in formats


def image(data: bytes) -> None:
    name, _, query = data.partition(b"?")
    schemas.find_model(LIBRARY, name.decode("latin1") if name.startswith(b"g") else None)
    seed, answer_format = images._read_file(name.decode(errors="replace"))
    assert 0 <= seed < 2**32
    assert answer_format in offered(STILL)
    check_query(Request({"type": "http", "query_string": query, "headers": []}))


def headers(data: bytes) -> None:
    first, _, second = data.partition(b"\n")
    given = Headers(raw=[(b"authorization", first), (b"x-api-key", second), (b"x-request-id", second)])
    auth._key_of(given)
    assert app.REQUEST_ID.fullmatch(app._request_id(given))


def render(data: bytes) -> None:
    latents = schemas.validate(ArrayRequest, body.parse_json(JSON, data)).latents
    assert all(-1000 <= number <= 1000 for latent in latents for number in latent)


def query(data: bytes) -> None:
    """Query strings, as long as their first two bytes say, in the order of a request: bounded, then read."""
    made = atheris.FuzzedDataProvider(data)
    times = made.ConsumeIntInRange(1, 1000)
    path, _, text = made.ConsumeBytes(4096).partition(b"?")
    scope = {"type": "http", "path": path.decode("latin1"), "query_string": text * times, "headers": []}
    body.check_target(scope)
    assert len(scope["query_string"]) <= body.MAX_QUERY
    assert len(Request(scope).query_params.multi_items()) <= body.MAX_PARAMETERS
    check_query(Request(scope))


def check_query(request: Request) -> None:
    """Read the query as each route does that has one."""
    given = schemas.read_query(request)
    with contextlib.suppress(Problem):
        assert 0 <= schemas.validate(InvertQuery, given).steps <= MAX_STEPS
    wanted: Any = schemas.validate(schemas.ImageQuery, given)
    assert wanted.truncation is None or 0 <= wanted.truncation <= 2


TARGETS = (generate, interpolate, accept, image, headers, fields, query, render)


def one(data: bytes) -> None:
    """Give an input to the parser that its first byte names."""
    try:
        TARGETS[data[0] % 48 % len(TARGETS) if data else 0](data[1:])
    except Problem as problem:
        if problem.status >= 500 or len(problem.document()) > 50_000:
            raise


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
