"""Images pinned by digest: against a real registry on loopback, Debian's docker-registry."""

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from deploy import digests
from tests import sources
from tests.e2e.server import ROOT, free_port

pytestmark = pytest.mark.skipif(
    not (shutil.which("docker-registry") and shutil.which("skopeo")), reason="needs Debian's docker-registry and skopeo"
)
OLD = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry; yields its host and port."""
    with sources.registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


def push(registry: str, image: str, folder: Path, content: bytes) -> str:
    """Push an image of one layer that holds these bytes; returns the digest that the registry says it has."""
    archive = folder / "layer.tar"
    with tarfile.open(archive, "w") as layer:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        layer.addfile(entry, BytesIO(content))
    source = f"tarball:{archive}"
    subprocess.run(
        ["skopeo", "copy", "-q", "--dest-tls-verify=false", source, f"docker://{registry}/{image}"], check=True
    )
    name, tag = image.split(":")
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    answer = httpx.head(f"http://{registry}/v2/{name}/manifests/{tag}", headers={"Accept": accept})
    return str(answer.headers["docker-content-digest"])


def dockerfile(folder: Path, base: str) -> Path:
    path = folder / "Dockerfile"
    path.write_text(re.sub(r"^ARG BASE=.*", f"ARG BASE={base}", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    return path


def overlay(folder: Path, name: str, tag: str) -> Path:
    """Copy an overlay whose image is this one."""
    path = folder / "kustomization.yaml"
    text = (ROOT / "deploy" / "kubernetes" / "overlays" / "cpu" / "kustomization.yaml").read_text()
    path.write_text(re.sub(r"newName: \S+\n( +)newTag: \S+", rf"newName: {name}\n\1newTag: {tag}", text))
    return path


def test_a_tag_gets_the_digest_that_its_registry_has_for_it(registry: str, tmp_path: Path) -> None:
    digest = push(registry, "python:3.11", tmp_path, b"first")
    path = dockerfile(tmp_path, f"{registry}/python:3.11")
    before = path.read_text()
    assert digests.main(["--plain-http", str(path)]) == 0
    assert path.read_text() == before.replace("/python:3.11\n", f"/python:3.11@{digest}\n")


def test_a_digest_follows_its_tag_and_nothing_else_of_the_file_changes(registry: str, tmp_path: Path) -> None:
    old = push(registry, "moved:1", tmp_path, b"old")
    path = overlay(tmp_path, f"{registry}/moved", "1")
    assert digests.main(["--plain-http", str(path)]) == 0
    before = path.read_text()
    assert f"    newTag: 1\n    digest: {old}\n" in before
    new = push(registry, "moved:1", tmp_path, b"new")
    assert digests.main(["--plain-http", "--check", str(path)]) == 1
    assert path.read_text() == before
    assert digests.main(["--plain-http", str(path)]) == 0
    assert path.read_text() == before.replace(old, new)
    assert digests.main(["--plain-http", "--check", str(path)]) == 0


def test_what_a_registry_does_not_know_keeps_what_it_has(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = push(registry, "known:1", tmp_path, b"known")
    unknown = dockerfile(tmp_path, f"{registry}/unknown:1@{OLD}")
    before = unknown.read_text()
    path = overlay(tmp_path, f"{registry}/known", "1")
    assert digests.main(["--plain-http", str(unknown), str(path)]) == 1
    assert unknown.read_text() == before
    assert f"{registry}/unknown:1" in capsys.readouterr().err
    assert f"digest: {known}" in path.read_text()


def test_a_registry_that_is_away_changes_nothing(tmp_path: Path) -> None:
    path = dockerfile(tmp_path, f"127.0.0.1:{free_port()}/python:3.11")
    before = path.read_text()
    assert digests.main(["--plain-http", str(path)]) == 1
    assert path.read_text() == before


def test_every_image_of_the_repository_is_one_that_the_command_renews() -> None:
    found = [
        found["name"]
        for path in digests.FILES
        for pattern in (digests.DOCKERFILE, digests.KUSTOMIZATION)
        for found in pattern.finditer(path.read_text())
    ]
    named = [
        *re.findall(r"^ARG BASE=(\S+?):", (ROOT / "Dockerfile").read_text(), re.MULTILINE),
        *(name for path in digests.FILES for name in re.findall(r"newName: (\S+)", path.read_text())),
    ]
    assert sorted(found) == sorted(named)
    assert len(found) >= 3


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl resolves the overlay")
def test_an_overlay_with_a_digest_deploys_that_digest(registry: str, tmp_path: Path) -> None:
    digest = push(registry, "nelumbo:1", tmp_path, b"nelumbo")
    shutil.copytree(ROOT / "deploy" / "kubernetes", tmp_path / "kubernetes")
    path = overlay(tmp_path / "kubernetes" / "overlays" / "cpu", f"{registry}/nelumbo", '"1"')
    assert digests.main(["--plain-http", str(path)]) == 0
    command = ["kubectl", "kustomize", path.parent]
    resolved = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert re.findall(r"image: (\S+)", resolved) == [f"{registry}/nelumbo:1@{digest}"]
