"""A server whose models are elsewhere: real servers on loopback, from which it fetches what it serves."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.engine import sources
from tests import certificates, tiny
from tests.e2e.server import Server, free_port, serving, wait_until
from tests.sources import NEEDS_REGISTRY, S3_KEYS, hub, list_files, registry, seaweed, trust, web
from tests.waiting import wait_for


class Place(ABC):
    """Where models are; it can be away, and come back at the same address."""

    url: str
    variables: dict[str, str]

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()

    @abstractmethod
    @contextmanager
    def up(self) -> Iterator[None]:
        """Run its server until the block ends."""

    def add(self, name: str) -> None:
        """Publish a version of a model."""
        sources.publish(tiny.write(self.folder / "made", tiny.card(name)), self.url)


class S3(Place):
    url = "s3://models/shop"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.variables = S3_KEYS | {"AWS_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    @contextmanager
    def up(self) -> Iterator[None]:
        with seaweed(self.folder / "weed", self.port) as address:
            try:
                wait_for(lambda: _makes_bucket(address), 60)
            except AssertionError:  # seen once beside other tests, not alone; the cause is not known
                pytest.skip("SeaweedFS does not start here")
            yield


class Web(Place):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url, self.variables = f"https://127.0.0.1:{self.port}", trust(folder)

    @contextmanager
    def up(self) -> Iterator[None]:
        (self.folder / "served").mkdir()
        with web(self.folder / "served", certificates.for_loopback(self.folder), self.port):
            yield

    def add(self, name: str) -> None:
        tiny.write(self.folder / "served", tiny.card(name))
        list_files(self.folder / "served")


class Hub(Place):
    url = "hf://me/pictures"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.variables = {"HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_HOME": str(folder / "home")}

    @contextmanager
    def up(self) -> Iterator[None]:
        with hub(self.folder / "hub", self.port):
            yield

    def add(self, name: str) -> None:
        made = tiny.write(self.folder / "made", tiny.card(name))
        shutil.copytree(made, self.folder / "hub" / "me" / "pictures" / "main" / name / "1")


class Oci(Place):
    variables: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"oci://127.0.0.1:{self.port}/models:shop"

    @contextmanager
    def up(self) -> Iterator[None]:
        with registry(self.folder / "registry", self.port):
            yield


@pytest.mark.slow
@pytest.mark.parametrize("kind", [S3, Web, Hub, pytest.param(Oci, marks=NEEDS_REGISTRY)])
def test_models_are_served_from_elsewhere_and_stay_when_it_is_away(
    kind: type[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = kind(tmp_path)
    for name, value in (place.variables | {"NELUMBO_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    settings = {"models": place.url, "source_seconds": 0.2}
    with place.up():
        place.add("a")
        with serving(tmp_path / "log", **settings) as server:
            assert httpx.post(f"{server.url}/generate", json={"seed": 1}).headers["x-model"] == "a@1"
            place.add("b")
            wait_until(lambda: httpx.get(f"{server.url}/models/b").status_code == 200, server)
    with serving(tmp_path / "log", **settings) as server:
        wait_until(lambda: names(server) == ["a", "b"], server)  # it is ready with the first
        assert "what was fetched before" in server.said()


def names(server: Server) -> list[str]:
    """The models that are served."""
    return [one["name"] for one in httpx.get(f"{server.url}/models").json()["models"]]


def _makes_bucket(address: str) -> bool:
    try:
        return httpx.put(f"{address}/models").status_code in (200, 409)
    except httpx.TransportError:
        return False
