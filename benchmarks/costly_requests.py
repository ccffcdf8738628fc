"""Requests that may cost the server more than they cost who sends them: one list for every route."""

import io
import json
import random
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from service.runtime.protocol import MAX_FRAMING

MAX_BODY = 2**18  # bytes, the default of NELUMBO_MAX_BODY
MAX_PHOTO = 2**23  # bytes, the default of NELUMBO_MAX_PHOTO
DEFAULT, DEFAULT_SIZE = "a-picture@1", 128  # the first model, which /render draws, and the length of its latents
WIDE, WIDE_SIZE = "wide@1", 4096  # the longest latents that a model may have
NAMED = "named@1"  # as many classes as a model may have, with names as long as they may be
SEEN = "seen@1"  # with an encoder
CLASSES = tuple(f"{number:064}" for number in range(1000))

# Each route by its template, and a request that it answers well.
TARGETS = {
    "/": "GET /",
    "/page/{file}": "GET /page/page.js",
    "/favicon.ico": "GET /favicon.ico",
    "/generate": "POST /generate",
    "/interpolate": "POST /interpolate",
    "/render": "POST /render",
    "/invert": f"POST /invert?model={SEEN}&steps=8",
    "/images/{model}/{file}": f"GET /images/{DEFAULT}/42.png",
    "/v1/images/generations": "POST /v1/images/generations",
    "/v1/models": "GET /v1/models",
    "/v1/models/{model}": f"GET /v1/models/{DEFAULT}",
    "/models": "GET /models",
    "/models/{model}": f"GET /models/{DEFAULT}",
    "/models/{model}/thumbnail.png": f"GET /models/{DEFAULT}/thumbnail.png",
    "/admin/reload": "POST /admin/reload",  # without the token: who has it may ask for more
    "/metrics": "GET /metrics",
    "/livez": "GET /livez",
    "/healthz": "GET /healthz",
    "/readyz": "GET /readyz",
    "/schema.json": "GET /schema.json",
    "/openapi.json": "GET /openapi.json",
    "/docs": "GET /docs",
    "/problems/{slug}": "GET /problems/rate-limited",
    "none": "GET /nothing/that/there/is",
}
HEADS = {
    "as it is": (),
    "90 headers": tuple(f"X{i}: {i}" for i in range(90)),
    "a header of 60 kB": ("X-Request-Id: " + "x" * 60_000,),
    "Accept, 60 kB of ranges": ("Accept: " + "a/b;q=0.1," * 6_000,),
    "Accept, 60 kB of quotes": ("Accept: " + '"\\",;' * 12_000,),
    "If-None-Match, 60 kB of tags": ("If-None-Match: " + "a," * 30_000,),
    "an unknown key of 60 kB": ("Authorization: Bearer " + "x" * 60_000,),
}


class Request(NamedTuple):
    """One request, as bytes on a connection of its own."""

    route: str
    what: str
    data: bytes


def requests(key: str) -> Iterator[Request]:
    """Yield all requests; they show an API key."""
    for route, target in TARGETS.items():
        joint = "&" if "?" in target else "?"
        for what, lines in HEADS.items():
            yield Request(route, what, head(target, key, *lines) + b"\r\n")
        yield Request(route, "16 parameters, 2 kB", head(f"{target}{joint}{parameters()}", key) + b"\r\n")
        yield Request(route, "a path of 1 kB", head(f"{target.rpartition('/')[0]}/{'%41' * 330}", key) + b"\r\n")
        yield Request(route, "a body of one-byte chunks", chunked(target, key, MAX_FRAMING // 5 - 200))
        yield Request(route, "a body of 256 KiB", posted(target, key, b" " * MAX_BODY))
    for route, bodies in BODIES.items():
        for what, body in (COMMON | bodies).items():
            assert len(body) <= MAX_BODY, what
            yield Request(route, what, posted(TARGETS[route], key, body))
    for what, picture in pictures().items():
        yield Request("/invert", what, posted(TARGETS["/invert"], key, picture, "image/png"))


def head(target: str, key: str, *lines: str) -> bytes:
    """Return a request's head but for the empty line at its end."""
    return "\r\n".join((f"{target} HTTP/1.1", "Host: x", "Connection: close", f"X-API-Key: {key}", *lines, "")).encode()


def posted(target: str, key: str, body: bytes, kind: str = "application/json") -> bytes:
    """Return a request with a body."""
    return head(target, key, f"Content-Type: {kind}", f"Content-Length: {len(body)}") + b"\r\n" + body


def chunked(target: str, key: str, chunks: int) -> bytes:
    """Return a request whose body, empty JSON, comes in chunks of one byte."""
    body = b"{" + b" " * (chunks - 2) + b"}"
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    framed = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    return head(target, key, *lines) + b"\r\n" + framed


def parameters() -> str:
    """Return as long a query string as is read."""
    return "&".join(f"p{i:02}={'%41' * 39}" for i in range(16))


def pictures() -> dict[str, bytes]:
    """Return bodies for /invert."""
    noise = Image.frombytes("RGB", (1600, 1600), random.Random(0).randbytes(3 * 1600 * 1600))
    return {
        "a picture as small as the model's": png(Image.new("L", (16, 16))),
        "a picture of 25 million pixels": png(Image.new("L", (5000, 5000))),
        "a strip of 25 million pixels": png(Image.new("L", (200, 125_000))),
        "8 MB of segments": b"\xff\xd8" + b"\xff\xe0\0\2" * (MAX_PHOTO // 4 - 1),
        "a picture of 7.7 MB": png(noise),
        "7.7 MB that end early": png(noise)[:-1000],
        "a body that is a byte too long": b"x" * (MAX_PHOTO + 1),
        "8 MB that are no picture": b"x" * MAX_PHOTO,
    }


def png(image: Image.Image) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def numbers(count: int) -> list[float]:
    """Return so many numbers that take the most digits."""
    made = random.Random(0)
    return [made.uniform(-1, 1) for _ in range(count)]


def filled(start: str, piece: str, end: str) -> bytes:
    """Return ``start``, as many pieces as a body has room for, and ``end``; a comma before ``end`` is left out."""
    room = (MAX_BODY - len(start) - len(end)) // len(piece.encode())
    return (start + (piece * room).removesuffix(",") + end).encode()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


COMMON = {
    "131,000 numbers where none may be": filled('{"model":[', "0,", "]}"),
    "131,000 numbers, and a fault at the end": filled('{"model":[', "0,", "]"),
    "131,000 empty lines, and a fault at the end": filled("{", " \n", "x"),
    "128 objects, one in another": b'{"a":' * 63 + b"{" + b"}" * 64,
    "as many lists as are parsed": _json({"latents": [[]] * 4190}),
    "as many strings as are parsed": _json({"latents": [""] * 2040}),
    "1,000 unknown fields": _json({f"{i:03}": 0 for i in range(1000)}),
    "1,000 unknown fields with long names": _json({f"{i:0200}": 0 for i in range(1000)}),
    "a string of 256 KiB": filled('{"model":"', "x", '"}'),
    "a string of escapes": filled('{"model":"', "\\u00e9", '"}'),
    "a string of backslashes": filled('{"model":"', "\\\\", '"}'),
    "a string of quotes": filled('{"model":"', '\\"', '"}'),
    "a string that is not ASCII": filled('{"model":"', "é", '"}'),
    "a text that is not UTF-8 at its end": filled('{"model":"', "é", "")[:-1],
    "an integer of 4,300 digits": b'{"seed":' + b"9" * 4300 + b"}",
    "an integer of 256 KiB": filled('{"seed":', "9", "}"),
    "a number of 256 KiB": filled('{"truncation":0.', "3", "}"),
    "numbers of 800 digits": filled('{"seeds":[', f"0.{'1' * 800}1,", "]}"),
    "numbers with exponents": filled('{"seeds":[', "1e-9,", "]}"),
}
BODIES = {
    "/generate": {
        "64 seeds": _json({"n": 64, "format": "zip"}),
        "64 pictures as JSON": _json({"n": 64, "format": "json"}),
        "64 latents with all digits": _json({"latents": [numbers(DEFAULT_SIZE)] * 64}),
        "31 of the longest latents": _json({"model": WIDE, "latents": [[1] * WIDE_SIZE] * 31}),
        "31 of the longest latents, the last wrong": _json(
            {"model": WIDE, "latents": [[1] * WIDE_SIZE] * 30 + [[1] * (WIDE_SIZE - 1) + [1001]]}
        ),
        "64 latents of a wrong length": _json({"model": WIDE, "latents": [[1] * 2000] * 64}),
        "131,000 seeds": filled('{"seeds":[', "0,", "]}"),
        "a latent of 131,000 numbers": filled('{"latent":[', "0,", "]}"),
        "4,096 seeds": _json({"seeds": [2**32 - 1] * 4096}),
        "64 seeds that draw their classes": _json({"model": NAMED, "n": 64, "format": "json"}),
        "64 classes": _json({"model": NAMED, "classes": CLASSES[-64:], "format": "json"}),
        "an unknown class": _json({"model": NAMED, "class": "1" * 256}),
        "4 pictures, 8 times as wide": _json({"n": 4, "scale": 8, "format": "json"}),
    },
    "/interpolate": {
        "8 points in a loop": _json({"model": WIDE, "points": [*range(8)], "loop": True, "steps": 64}),
        "64 frames through 64 classes": _json(
            {"model": NAMED, "from": 1, "to": 2, "steps": 64, "classes": CLASSES[:64]}
        ),
        "64 frames between seeds": _json({"model": WIDE, "from": 1, "to": 2, "steps": 64}),
        "64 frames on a straight line": _json({"model": WIDE, "from": 1, "to": 2, "steps": 64, "path": "linear"}),
        "64 frames between latents": _json(
            {"model": WIDE, "from": numbers(WIDE_SIZE), "to": numbers(WIDE_SIZE)[::-1], "steps": 64}
        ),
        "latents of 65,000 numbers": _json({"from": [0] * 65_000, "to": [0] * 65_000}),
    },
    "/render": {
        "64 latents with all digits": _json({"latents": [numbers(DEFAULT_SIZE)] * 64}),
        "64 latents of a wrong length": _json({"latents": [[1] * 2000] * 64}),
        "31 latents of 4,096 numbers, the last wrong": _json({"latents": [[1] * 4096] * 30 + [[1] * 4095 + [1001]]}),
        "a latent of 131,000 numbers": filled('{"latents":[[', "0,", "]]}"),
        "4,096 latents": _json({"latents": [[1]] * 4096}),
    },
    "/v1/images/generations": {
        "64 pictures": _json({"prompt": "a face", "n": 64}),
        "4 pictures, 8 times as wide": _json({"prompt": "a face", "n": 4, "size": "512x512"}),
        "64 pictures in classes": _json({"model": NAMED, "prompt": "a face", "n": 64}),
        "the longest prompt, beside a thousand classes": _json({"model": NAMED, "prompt": "\u0390" * 32_000}),
        "a prompt of spaces": _json({"prompt": " " * 32_000}),
        "a prompt of digits": _json({"prompt": "9" * 32_000}),
        "a size that is none": _json({"prompt": "a face", "size": "99999x99999"}),
    },
}
