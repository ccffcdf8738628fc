"""The files of a release: built twice from the checked-out commit."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from deploy import release
from nelumbo import Generator
from service.contract.graph import read_model
from tests.e2e.server import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release, of one container image."""
    folder = tmp_path_factory.mktemp("dist")
    release.release(folder, ["cpu"])
    return folder


@pytest.fixture(scope="module")
def sbom(built: Path) -> Path:
    (path,) = built.glob("*.cdx.json")
    return path


def test_every_file_is_in_the_list_of_checksums(built: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", release.SUMS]
    subprocess.run(command, cwd=built, check=True)
    listed = {line.split()[1] for line in (built / release.SUMS).read_text().splitlines()}
    assert listed == {path.name for path in built.iterdir()} - {release.SUMS}
    assert len(listed) == 2


def test_two_builds_of_a_commit_are_the_same_bytes(built: Path, tmp_path: Path) -> None:
    release.release(tmp_path, ["cpu"])
    assert (tmp_path / release.SUMS).read_text() == (built / release.SUMS).read_text()


def test_the_wheel_contains_every_committed_module_and_no_other_file(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    code = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    committed = release.git("ls-tree", "-r", "--name-only", "HEAD").decode().splitlines()
    shipped = {f"service/models/emoji/2/{name}" for name in ("README.md", "model.onnx", "sha256")}  # a link in git
    assert shipped <= code
    assert code - shipped <= set(committed)
    assert {name for name in committed if re.match(r"(service|training|export)/.*\.py$", name)} <= code


def test_the_wheel_draws_at_once_in_an_empty_folder(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "nelumbo", "generate", "--seed", "42", "--out", "42.png"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    subprocess.run(command, cwd=tmp_path / "empty", env=environment, check=True, timeout=120)
    with Generator(ROOT / "models" / "emoji") as emoji, Image.open(tmp_path / "empty" / "42.png") as drawn:
        assert drawn.tobytes() == emoji.draw(seed=42).tobytes()


def test_the_sbom_keeps_the_schema(sbom: Path) -> None:
    from cyclonedx.schema import SchemaVersion  # here, as importing it takes a second
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.read_text()) is None


def test_the_sbom_lists_the_packages_of_the_lock_with_their_digests(sbom: Path) -> None:
    listed = {
        (part["name"], part["version"]): {
            entry["content"] for reference in part["externalReferences"] for entry in reference.get("hashes", ())
        }
        for part in json.loads(sbom.read_text())["components"]
        if part["type"] == "library"
    }
    lock = release.git("show", "HEAD:deploy/container/cpu.txt").decode()
    assert listed.keys() == set(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    assert set().union(*listed.values()) == set(re.findall(r"sha256:(\w{64})", lock))


def test_the_sbom_lists_the_models_with_their_digests_and_licences(sbom: Path) -> None:
    parts = json.loads(sbom.read_text())["components"]
    listed = {part["name"]: part for part in parts if part["type"] == "machine-learning-model"}
    assert listed.keys() == {path.name for path in (ROOT / "models").iterdir()}
    for name, part in listed.items():
        folder = ROOT / "models" / name / part["version"]
        digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        assert part["hashes"] == [{"alg": "SHA-256", "content": digest}]
        assert part["licenses"] == [{"license": {"name": read_model(folder).card.licence}}]


def test_a_release_does_not_mix_with_an_older_one(built: Path) -> None:
    before = (built / release.SUMS).read_text()
    with pytest.raises(SystemExit):
        release.release(built)
    assert (built / release.SUMS).read_text() == before
