"""Users who draw: each answer is checked, and a wrong picture counts as a failure.

locust -f load_tests/locustfile.py --host http://127.0.0.1:3000 --headless --users 32 --run-time 20s
"""

import io
import random

from locust import FastHttpUser, between, task
from PIL import Image

KNOWN_SEED = 42


class Drawer(FastHttpUser):
    """Draws seeds of its own, and now and then one that everybody draws."""

    wait_time = between(0.0, 0.05)
    known: bytes | None = None  # what KNOWN_SEED drew first, for all users

    def on_start(self) -> None:
        """Learn the size of the pictures."""
        model = self.client.get("/models").json()["models"][0]
        self.size = (model["width"], model["height"])

    @task(10)
    def one_seed(self) -> None:
        """A picture of the size that GET /models states."""
        with self._draw({"seed": random.randrange(2**32)}) as answer:
            if answer.ok and Image.open(io.BytesIO(answer.content)).size != self.size:
                answer.failure("wrong size")

    @task(1)
    def the_known_seed(self) -> None:
        """The same bytes for the same seed, whatever else is running."""
        with self._draw({"seed": KNOWN_SEED}) as answer:
            if answer.ok:
                Drawer.known = Drawer.known or answer.content
                if answer.content != Drawer.known:
                    answer.failure("the same seed drew other bytes")

    @task(1)
    def sixteen_as_zip(self) -> None:
        """Many in one request."""
        with self._draw({"seed": random.randrange(2**32), "n": 16}, accept="application/zip") as answer:
            if answer.ok and not answer.content.startswith(b"PK"):
                answer.failure("no zip")

    def _draw(self, body: dict[str, object], accept: str = "image/png"):
        name = f"/generate {accept}"
        return self.client.post("/generate", json=body, headers={"Accept": accept}, name=name, catch_response=True)
