"""A server whose disk fills up while it serves: it cannot write, and keeps drawing."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ADMIN, Server, serving, wait_for_workers
from tests.e2e.test_processes import pids

SIZE = "2m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    with (disk / "filling").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return


def ask_for_all_kinds_of_answers(server: Server) -> None:
    """Send requests with different answers: each needs labels, and so space in the metrics files."""
    for path in ("/", "/models", "/models/grey", "/models/none", "/images/grey@1/1.png", "/images/grey/1.png", "/x"):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            assert httpx.request(method, f"{server.url}{path}").status_code < 500


def test_with_a_full_disk_requests_are_still_drawn(
    models: Path, tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(disk))
    with serving(disk / "log", models=models, workers=2, log_requests=True) as server:
        known = wait_for_workers(server, 2)
        fill(disk)
        before = pids(server)
        for _ in range(4):  # new connections: both workers
            ask_for_all_kinds_of_answers(server)
        assert httpx.post(f"{server.url}/admin/reload", headers=ADMIN, timeout=30).status_code == 200
        assert pids(server) == before, "a worker has died"
        os.kill(min(before), signal.SIGKILL)  # one that comes when the disk is full is to serve, too
        wait_for_workers(server, 3, known=known)
        after = pids(server)
        assert len(after) == 2
        drawn = [httpx.post(f"{server.url}/generate", json={"seed": 1}, timeout=60) for _ in range(50)]
        assert {answer.status_code for answer in drawn} == {200}
        assert len({answer.content for answer in drawn}) == 1
        assert pids(server) == after, "a worker has died"
        assert httpx.get(f"{server.url}/metrics").status_code == 200
