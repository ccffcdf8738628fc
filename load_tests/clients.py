"""Clients that send requests continuously, check each answer and record the outcome."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import httpx

from load_tests.pictures import Pictures

SEEDS = 64  # that are asked for: few, so that each answer can be held against one of before
MANY = 16  # pictures in a zip
ZIPS = 1 / 16  # of the requests ask for one
PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Failure:
    """A request that got no answer: by ``time.monotonic()``, when whoever was to give it lived, and when it failed."""

    error: str
    lived: float
    ended: float


class Record:
    """How the requests of all clients went."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.failures: list[Failure] = []
        self.wrong: list[str] = []
        self.seconds: list[float] = []  # of the requests that got pictures
        self.images = 0
        self._lock = threading.Lock()

    def answered(self, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self.statuses[status] += 1

    def drawn(self, images: int, seconds: float, fault: str | None) -> None:
        """Record an answer with images, and what is wrong with them."""
        with self._lock:
            self.images += images
            self.seconds.append(seconds)
            self.wrong += [fault] if fault else []

    def percentile(self, share: float) -> float:
        """Return the time within which so many of the requests that got pictures got them."""
        times = sorted(self.seconds)
        return times[min(int(share * len(times)), len(times) - 1)] if times else 0.0


class Clients:
    """Clients of a server's first model: closed-loop, or together ``rate`` requests a second."""

    def __init__(self, url: str, count: int, *, seed: int = 0, rate: float | None = None) -> None:
        self.record = Record()
        self.pictures, self._model = look(url)
        self._url = url
        self._interval = count / rate if rate else 0.0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed + i),)) for i in range(count)]

    def learn(self) -> None:
        """Request every seed once, to learn its image."""
        for seed in range(SEEDS + MANY):
            answer = httpx.post(f"{self._url}/generate", json={"model": self._model, "seed": seed}, timeout=PATIENCE)
            assert self.pictures.png(self._model, seed, answer.raise_for_status().content) is None

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, chance: random.Random) -> None:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=PATIENCE)
        lived = time.monotonic()
        turn = lived + chance.random() * self._interval
        while not self._over.wait(max(0.0, turn - time.monotonic())):
            turn += self._interval
            began = time.monotonic()
            if connection.sock is None:
                lived = began
            try:
                self._ask(connection, chance, began)
                lived = began  # or it had not answered
            except (OSError, http.client.HTTPException) as error:
                self.record.failures.append(Failure(repr(error), lived, time.monotonic()))
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, chance: random.Random, began: float) -> None:
        seed, n = chance.randrange(SEEDS), MANY if chance.random() < ZIPS else 1
        accept = "application/zip" if n > 1 else "image/png"
        body = json.dumps({"model": self._model, "seed": seed, "n": n})
        connection.request("POST", "/generate", body, {"Content-Type": "application/json", "Accept": accept})
        answer = connection.getresponse()
        data = answer.read()
        seconds = time.monotonic() - began
        self.record.answered(answer.status)
        if answer.status == 200:
            check = self.pictures
            fault = check.archive(self._model, seed, n, data) if n > 1 else check.png(self._model, seed, data)
            self.record.drawn(n, seconds, fault)
        elif answer.status == 503:
            self._over.wait(float(answer.headers["Retry-After"]))  # what is asked of whoever is refused


def look(url: str) -> tuple[Pictures, str]:
    """Return what the pictures of a server's first model are to be like, and its name."""
    model = httpx.get(f"{url}/models", timeout=PATIENCE).json()["models"][0]
    return Pictures(model["width"], model["height"]), f"{model['name']}@{model['version']}"
