"""The image that the Dockerfile makes for the CPU, built and run without a Docker engine."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import ROOT, Server, free_port, wait_until_up
from tests.waiting import wait_for

HERE = Path(__file__).parent
STORE = ROOT / "build" / "container"
BUILDAH = ("buildah", "--root", f"{STORE}/root", "--runroot", f"{STORE}/run", "--storage-driver", "vfs")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

NO_BASE = 77  # of build.sh


def can_build() -> bool:
    """Tell whether this machine has the tools, and lets them."""
    if not (shutil.which("buildah") and shutil.which("mmdebstrap") and os.geteuid() == 0):
        return False
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # of which the first test builds the image
    pytest.mark.skipif(not can_build(), reason="building an image needs buildah, mmdebstrap, and root with namespaces"),
]


@dataclass
class Image:
    root: Path
    config: dict[str, Any]

    def run(self, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = dict(pair.split("=", 1) for pair in self.config["Env"]) | variables
        return subprocess.Popen([HERE / "run.sh", self.root, self.config["User"], *command], env=environment)


def buildah(*arguments: str) -> str:
    return subprocess.run([*BUILDAH, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    environment = os.environ | {"PYTHON": sys.executable}
    built = subprocess.run([HERE / "build.sh", STORE, "cpu"], check=False, env=environment)
    if built.returncode == NO_BASE:
        pytest.skip("the base image cannot be made here")
    built.check_returncode()
    inspected = json.loads(buildah("inspect", "--type", "image", "localhost/nelumbo:cpu"))
    container = buildah("from", "--pull-never", "localhost/nelumbo:cpu")
    try:
        yield Image(Path(buildah("mount", container)), inspected["Docker"]["config"])
    finally:
        buildah("rm", container)


@contextmanager
def served(image: Image) -> Iterator[tuple[Server, int]]:
    """Run the image's command until the block ends; yields the server, and its process that is number 1 inside."""
    port = free_port()
    process = image.run(*image.config["Cmd"], NELUMBO_HOST="127.0.0.1", NELUMBO_PORT=str(port), NELUMBO_WORKERS="1")
    server = Server(process, f"http://127.0.0.1:{port}", Path(os.devnull))
    try:
        wait_until_up(server, "/readyz")
        yield server, int(children(process.pid)[0])
    finally:
        for pid in children(process.pid):
            os.kill(int(pid), signal.SIGKILL)
        process.wait()


def children(pid: int) -> Sequence[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def test_it_draws_the_hosts_bytes_read_only_and_unprivileged_and_stops_on_sigterm(image: Image, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "generate", "--seed", "42", "--out", tmp_path / "42.png"]
    subprocess.run(command, cwd=ROOT, check=True)
    with served(image) as (server, first):
        drawn = httpx.post(f"{server.url}/generate", json={"seed": 42})
        status = Path(f"/proc/{first}/status").read_text()
        mounts = Path(f"/proc/{first}/mounts").read_text()
        port = server.url.rpartition(":")[2]
        assert image.run(*image.config["Healthcheck"]["Test"][1:], NELUMBO_PORT=port).wait() == 0
        os.kill(first, signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert drawn.content == (tmp_path / "42.png").read_bytes()
    assert re.search(r"^Uid:\t65532\t65532", status, re.MULTILINE)
    assert re.findall(r"^Cap\w+:\t(\w+)$", status, re.MULTILINE) == ["0" * 16] * 5
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE)


def test_it_is_unhealthy_where_nothing_is_served(image: Image) -> None:
    assert image.run(*image.config["Healthcheck"]["Test"][1:], NELUMBO_PORT=str(free_port())).wait() != 0


def workers(pid: int) -> list[str]:
    """Return the children that are workers: the check of the models and multiprocessing's tracker are others."""
    return [child for child in children(pid) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def test_a_killed_worker_is_replaced(image: Image) -> None:
    with served(image) as (server, first):
        (worker,) = workers(first)
        os.kill(int(worker), signal.SIGKILL)
        wait_for(lambda: workers(first) not in ([], [worker]))
        wait_until_up(server, "/readyz")


def test_it_is_small(image: Image) -> None:
    base = image.config["Labels"]["org.opencontainers.image.base.name"]
    sizes = {
        name: found["size"].split() for found in json.loads(buildah("images", "--json")) for name in found["names"]
    }
    (whole, unit), (below, same_unit) = sizes["localhost/nelumbo:cpu"], sizes[base]
    assert unit == same_unit == "MB"
    assert float(whole) - float(below) <= 480


def test_it_contains_neither_torch_nor_a_compiler_nor_pip(image: Image) -> None:
    site = next(image.root.glob("opt/nelumbo/lib/python3*/site-packages"))
    assert (site / "onnxruntime").exists()
    assert [name for name in ("torch", "pip", "setuptools", "training", "export") if (site / name).exists()] == []
    tools = {"pip", "pip3", "gcc", "cc", "g++", "clang", "make", "ld"}
    programs = {
        path.name for folder in ("opt/nelumbo/bin", "usr/bin", "bin") for path in (image.root / folder).iterdir()
    }
    assert programs & tools == set()
    assert not list(image.root.rglob(".cache"))


def test_nothing_of_ours_can_be_changed_by_its_user(image: Image) -> None:
    for folder in ("opt/nelumbo", "models"):
        for path in [image.root / folder, *(image.root / folder).rglob("*")]:
            assert path.lstat().st_uid == 0, path
            assert path.is_symlink() or path.stat().st_mode & 0o022 == 0, path


def test_its_list_of_parts_is_what_its_lock_says_and_its_models(image: Image) -> None:
    listed = json.loads((image.root / "opt/nelumbo/sbom.cdx.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    packages = [part for part in listed["components"] if part["type"] == "library"]
    parts = {re.sub(r"[-_.]+", "-", part["name"]).lower(): part["version"] for part in packages}
    locked = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "deploy/container/cpu.txt").read_text(), re.MULTILINE)
    assert parts.items() - {("nelumbo", PROJECT["version"])} == set(locked)
    models = {part["name"] for part in listed["components"] if part["type"] == "machine-learning-model"}
    assert models == {path.name for path in (ROOT / "models").iterdir()}


def test_its_checksums_are_those_of_every_file_of_ours(image: Image) -> None:
    lines = (image.root / "opt/nelumbo/SHA256SUMS").read_text().splitlines()
    listed = {line.partition("  ")[2] for line in lines}
    there = {
        f"/{path.relative_to(image.root)}"
        for folder in ("opt/nelumbo", "models")
        for path in (image.root / folder).rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert listed == there - {"/opt/nelumbo/SHA256SUMS"}
    assert image.run("sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS").wait() == 0


def test_it_says_what_it_is_and_starts_without_a_shell(image: Image) -> None:
    assert image.config["User"] == "65532:65532"
    assert image.config["Cmd"] == ["python", "-m", "service"]
    assert image.config["Healthcheck"]["Test"][0] == "CMD"
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image.config["Labels"].items()}
    assert labels.keys() >= {"title", "description", "licenses", "version", "revision", "base.name"}
    assert (labels["version"], labels["licenses"]) == (PROJECT["version"], PROJECT["license"])
