"""Odd model files in a real server: what passes the check is drawn with, and must harm neither the server nor itself.

While they are loaded and drawn, a good model is asked for all the time, and must answer with the same bytes; an image
must not depend on what is drawn with it; no model may crash a worker, be answered by 500, or leave memory behind.
"""

import io
import random
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from benchmarks.serving import process
from service.engine.check_models import MIXED
from tests import hostile, tiny
from tests.e2e.server import ADMIN, Server, serving
from tests.fuzz.odd import odd

AT_ONCE = 12  # odd models in the folder
PATIENCE = 300  # seconds for their check
GROWTH = 64 * 2**20  # bytes that the server may have grown by since the first models were drawn and removed
GOOD = {"model": "grey", "seed": 1, "format": "png"}
Answer = tuple[int, bytes]


@dataclass
class Result:
    """What was tried, and what came of it."""

    tried: int = 0
    served: int = 0
    images: int = 0
    good: Counter[str] = field(default_factory=Counter)  # answers of the good model: "same", or what was wrong
    faults: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)  # bytes after each round

    def __str__(self) -> str:
        most = f"{max(self.memory, default=0) / 2**20:.0f} MiB at most between rounds"
        asked = f"the good model drew {self.good['same']:,} times meanwhile"
        told = f"{self.tried:,} odd models, {self.served:,} of them served, {self.images:,} images"
        return f"served: {told}; {asked}; {most}"


def fuzz(folder: Path, inputs: int, seed: int) -> Result:
    """Serve so many odd models, some at once; what is at fault is kept in ``folder``."""
    made, result = random.Random(seed), Result()
    models = folder / "models"
    tiny.write(models, tiny.card("grey"))
    with serving(folder / "log", models=models, default_model="grey", load_seconds=20) as server:
        before = _workers(server)
        while result.tried < inputs:
            names = [f"odd{result.tried + i}" for i in range(min(AT_ONCE, inputs - result.tried))]
            _serve(server, models, {name: odd(made, name) for name in names}, result)
            result.tried += len(names)
        if _workers(server) != before:
            result.faults.append("a worker crashed")
        if result.memory[-1] - result.memory[0] > GROWTH:
            result.faults.append(f"the server grew from {result.memory[0]:,} to {result.memory[-1]:,} bytes")
        if "Traceback" in (said := server.said()):
            result.faults.append(f"the log has a traceback: {said[said.index('Traceback') :][:4000]}")
    return result


def _serve(server: Server, models: Path, files: dict[str, bytes], result: Result) -> None:
    """Add models, draw with those that are served, and remove them; those at fault are kept beside the folder."""
    for name, data in files.items():
        hostile.write(models, name, data)
    with _good_model_is_asked(server, result.good), server.client() as client:
        client.timeout = httpx.Timeout(PATIENCE)
        listed = _reload(client)
        for name in files:
            if f"{name}@1" in listed:
                result.served += 1
                if found := [*_faults(client, name, result)]:
                    shutil.copytree(models / name, models.parent / "faults" / name)
                    result.faults += [f"{name}: {one}" for one in found]
            shutil.rmtree(models / name)
        _reload(client)
    result.faults += [f"the good model: {kind}" for kind in result.good if kind != "same"]
    result.memory.append(_memory(server))


def _reload(client: httpx.Client) -> list[str]:
    listed: list[str] = client.post("/admin/reload", headers=ADMIN).raise_for_status().json()["models"]
    return listed


def _faults(client: httpx.Client, name: str, result: Result) -> Iterator[str]:
    """Ask for a model in every way; yields a sentence for each answer that is wrong."""
    card = client.get(f"/models/{name}").json()
    for path in ("/models", f"/models/{name}@1", f"/models/{name}@1/thumbnail.png", f"/v1/models/{name}@1"):
        if (status := client.get(path).status_code) != 200:
            yield f"GET {path} answers {status}"
    walk = {"model": name, "points": [1, 2, 3], "steps": 4, "loop": True}
    for kind in ("gif", "apng", "webp", "json"):
        if (status := client.post("/interpolate", json=walk | {"format": kind}).status_code) != 200:
            yield f"an {kind} is answered {status}"
    for what, bodies in _requests(name, card).items():
        drawn = [_draw(client, body) for body in bodies]
        result.images += len(drawn)
        if wrong := {status for status, _ in drawn if status != 200}:
            yield f"{what} are answered {wrong}"
            continue
        together = _draw_together(client, bodies)
        worst = max(_distance(one, other) for (_, one), other in zip(drawn, together, strict=True))
        if worst > (0 if card["deterministic"] == "exact" else MIXED):
            yield f"{what} are {worst} levels different together, {card['deterministic']}"


def _requests(name: str, card: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return requests for one image each that may be drawn together, by what they are."""
    size, rng = card["latent_dim"], np.random.default_rng(1)
    ends = [0.0, -0.0, 1000.0, -1000.0, 1e-45, 999.9]
    latents = [[end] * size for end in ends] + rng.choice([-1000.0, 1000.0], (3, size)).tolist()
    latents += rng.normal(size=(3, size)).tolist()
    asked: dict[str, list[dict[str, Any]]] = {
        "seeds": [{"model": name, "seed": seed} for seed in (0, 1, 2, 7, 2**32 - 1)],
        "latents": [{"model": name, "latent": latent} for latent in latents],
    }
    if card["classes"]:
        asked["classes"] = [{"model": name, "seed": 5, "class": one} for one in card["classes"]]
    if card["truncation"]:
        asked["truncations"] = [{"model": name, "seed": 5, "truncation": one} for one in (0, 2, 1e-300, 0.5)]
    if card["directions"]:
        names = [one["name"] for one in card["directions"]]
        amounts = (100, -100, 1e-40, 0.5)
        asked["directions"] = [{"model": name, "seed": 5, "directions": {n: a}} for n in names for a in amounts]
    return asked


def _draw(client: httpx.Client, body: dict[str, Any]) -> Answer:
    answer = client.post("/generate", json=body | {"format": "png"})
    return answer.status_code, answer.content


def _draw_together(client: httpx.Client, bodies: list[dict[str, Any]]) -> list[bytes]:
    """Send requests at once, behind one that keeps the thread that draws busy, so that they share batches."""
    answers: dict[int, bytes] = {}

    def ask(place: int, body: dict[str, Any]) -> None:
        answers[place] = _draw(client, body)[1]

    first = {"model": bodies[0]["model"], "n": 64}
    asking = [threading.Thread(target=ask, args=(place, body)) for place, body in enumerate([first, *bodies])]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    return [answers[place + 1] for place in range(len(bodies))]


def _distance(one: bytes, other: bytes) -> int:
    """Return by how many levels two images differ at most; 255 where one is none."""
    if one == other:
        return 0
    try:
        return int(np.abs(_pixels(one) - _pixels(other)).max())
    except (OSError, ValueError):
        return 255


def _pixels(data: bytes) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(data))).astype(np.int16)


@contextmanager
def _good_model_is_asked(server: Server, found: Counter[str]) -> Iterator[None]:
    """Ask for the good model until the block ends, and note what its answers are."""
    over = threading.Event()

    def ask() -> None:
        first = b""
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            while not over.wait(0.02):
                status, data = _draw(client, GOOD)
                first = first or data
                found["same" if (status, data) == (200, first) else f"answered {status}, or other bytes"] += 1

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def _workers(server: Server) -> set[int]:
    return {int(found.name) for found in process.workers(server)}


def _memory(server: Server) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in _workers(server))
