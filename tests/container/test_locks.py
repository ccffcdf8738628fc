"""What the images are built from, as far as that can be told without building one."""

import re
import tomllib
from fnmatch import fnmatch

import pytest

from tests.e2e.server import ROOT

LOCKS = ROOT / "deploy" / "container"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = ["cpu", "openvino", "cuda"]


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def locked(name: str) -> dict[str, str]:
    return pins((LOCKS / f"{name}.txt").read_text())


@pytest.mark.parametrize("target", [*TARGETS, "build"])
def test_a_lock_pins_every_wheel_by_hash(target: str) -> None:
    text = (LOCKS / f"{target}.txt").read_text()
    entries = re.split(r"\n(?=[\w.-]+==)", re.sub(r"^ *#.*\n?", "", text, flags=re.MULTILINE).strip())
    assert len(entries) == len(locked(target))
    pinned = re.compile(r"\S+( ;[^\\\n]+)?( \\\n +--hash=sha256:[0-9a-f]{64})+\s*")
    assert all(map(pinned.fullmatch, entries))


@pytest.mark.parametrize("target", TARGETS)
def test_a_lock_pins_the_dependencies_of_serving_at_the_tested_versions(target: str) -> None:
    constraints = pins((ROOT / "constraints.txt").read_text())
    extras = ["c2pa", "redis", "remote", "traces", *(["openvino"] if target == "openvino" else [])]
    needed = {*PROJECT["dependencies"], *(name for extra in extras for name in PROJECT["optional-dependencies"][extra])}
    if target == "cuda":
        needed = needed - {"onnxruntime"} | {"onnxruntime-gpu"}
        constraints["onnxruntime-gpu"] = constraints["onnxruntime"]
    found = locked(target)
    assert {name: found.get(name) for name in needed} == {name: constraints[name] for name in needed}, "run make lock"
    assert found.items() & constraints.items() == {(n, v) for n, v in found.items() if n in constraints}
    assert ("onnxruntime" in found) == (target != "cuda")
    assert "torch" not in found


@pytest.mark.parametrize(
    "path", ["constraints.txt", "pyproject.toml", "training/loop.py", "export/graph.py", "service/web/page/page.js"]
)
def test_the_build_context_has_what_an_image_for_training_needs(path: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert any(fnmatch(path, line[1:]) for line in lines if line.startswith("!")), "docs/distributed.md installs it"


def test_every_image_has_the_one_pinned_base_and_the_version_of_the_project() -> None:
    (base,) = re.findall(r"^ARG BASE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert 'base.name="${BASE}"' in DOCKERFILE
    assert f"ARG VERSION={PROJECT['version']}\n" in DOCKERFILE
    stages = re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert {source for source, _ in stages} <= {"${BASE}", *(name for _, name in stages)}
    assert [name for source, name in stages if source == "runtime"][-1] == "cpu"
