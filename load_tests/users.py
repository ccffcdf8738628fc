"""The kinds of users; each checks every answer, and a wrong one counts as a failure."""

import base64
import random
import re
from collections.abc import Callable
from typing import Any, ClassVar

import gevent
import numpy as np
from locust import FastHttpUser, between, task

from load_tests.pictures import REMEMBERED, Pictures
from load_tests.thresholds import refusals

MANY = 16
KNOWN = 64  # seeds that everybody draws now and then, so that answers can be held against each other
ZIPF = 1.1  # how much more often the first of the cached seeds is asked for than the last
POPULAR = np.cumsum(1 / np.arange(1, 1001) ** ZIPF).tolist()
LINKS = re.compile(r'(?:src|href)="(page/[^"]+)"')

Check = Callable[[Any], str | None]  # answer -> what is wrong with it


class User(FastHttpUser):
    """One who asks for pictures; ``kind`` names them in the report."""

    abstract = True
    kind: ClassVar[str]
    wait_time = between(0.05, 0.15)
    pictures: ClassVar[Pictures | None] = None  # what all users of this process have seen

    def on_start(self) -> None:
        """Learn what the first model draws."""
        self.model = self.client.get("/models", name="models").json()["models"][0]
        self.ref = f"{self.model['name']}@{self.model['version']}"
        User.pictures = User.pictures or Pictures(self.model["width"], self.model["height"])

    def draw(self, accept: str, check: Check, **body: object) -> None:
        """Ask for pictures by POST."""
        headers = {"Accept": accept}
        self.ask("POST", "/generate", check, json={"model": self.ref, **body}, headers=headers)

    def ask(self, method: str, path: str, check: Check, status: int = 200, **how: Any) -> Any:
        """Send a request and check the answer; on 503, which is no failure, wait for Retry-After and retry."""
        with self.client.request(method, path, name=self.kind, catch_response=True, **how) as answer:
            if answer.status_code == 503 and "Retry-After" in answer.headers:
                answer.request_meta["name"] = refusals(self.kind)
                answer.success()
                gevent.sleep(float(answer.headers["Retry-After"]))
            elif answer.status_code == 0:
                answer.failure(f"no answer: {answer.error!r}")
            elif answer.status_code != status:
                answer.failure(f"answered {answer.status_code} in place of {status}")
            elif fault := check(answer):
                answer.failure(fault)
        return answer


class OneSeed(User):
    """Draws random seeds, and every eighth time a shared one."""

    kind = "one seed"
    weight = 8

    @task
    def one(self) -> None:
        """A PNG."""
        seed = random.randrange(KNOWN) if random.random() < 1 / 8 else random.randrange(2**32)
        self.draw("image/png", lambda answer: self.pictures.png(self.ref, seed, answer.content), seed=seed)


class Latent(User):
    """Sends the latent of a shared seed, which must give that seed's pixels."""

    kind = "latent"
    weight = 2

    @task
    def one(self) -> None:
        """A PNG."""
        seed = random.randrange(KNOWN)
        latent = np.random.RandomState(seed).randn(self.model["latent_dim"]).astype(np.float32).tolist()
        self.draw("image/png", lambda answer: self.pictures.pixels(self.ref, seed, answer.content), latent=latent)


class Sixteen(User):
    """Draws sixteen images in a request, each of which must have the bytes of its seed alone."""

    kind = "sixteen"
    weight = 1

    @task
    def many(self) -> None:
        """A zip."""
        seed = random.randrange(KNOWN)
        check = self.pictures.archive
        self.draw("application/zip", lambda answer: check(self.ref, seed, MANY, answer.content), seed=seed, n=MANY)


class Cached(User):
    """Looks at popular pictures, and asks again for what it has with its ETag, as browsers and caches do."""

    kind = "cached"
    weight = 3

    def on_start(self) -> None:
        """Begin with an empty cache."""
        super().on_start()
        self.etags: dict[int, str] = {}

    @task
    def look(self) -> None:
        """A PNG, or 304."""
        (seed,) = random.choices(range(len(POPULAR)), cum_weights=POPULAR)
        path = f"/images/{self.ref}/{seed}.png"
        if etag := self.etags.get(seed):
            check: Check = lambda answer: "a body with 304" if answer.content else None  # noqa: E731
            self.ask("GET", path, check, 304, headers={"If-None-Match": etag})
            return
        answer = self.ask("GET", path, lambda answer: self.pictures.png(self.ref, seed, answer.content))
        if answer.status_code == 200:
            self.etags[seed] = answer.headers["ETag"]


class Visitor(User):
    """Opens the page in a browser that has never seen it."""

    kind = "page"
    weight = 1
    wait_time = between(0.5, 1.5)

    @task
    def visit(self) -> None:
        """The page, what it names, the models and the first sixteen pictures."""
        page = self.ask("GET", "/", lambda answer: None if LINKS.search(answer.text) else "it names no files")
        for path in sorted(set(LINKS.findall(page.text or ""))):
            self.ask("GET", f"/{path}", lambda answer: None if answer.content else "an empty file")
        self.ask("GET", "/models", lambda answer: None if answer.json()["models"] else "no models")
        self.draw("application/json", self._drawn, seed=random.randrange(REMEMBERED - MANY), n=MANY)

    def _drawn(self, answer: Any) -> str | None:
        data = answer.json()["data"]
        faults = (self.pictures.png(self.ref, one["seed"], base64.b64decode(one["b64_json"])) for one in data)
        return next(filter(None, faults), None) if len(data) == MANY else f"{len(data)} pictures"
