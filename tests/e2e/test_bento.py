import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.e2e.server import BENTOML, ROOT, bentoml_home, serving


def test_a_bento_asks_for_what_serving_needs() -> None:
    packages = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["python"]["packages"]
    assert packages == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


@pytest.fixture
def root(models: Path, tmp_path: Path) -> Path:
    """A copy of the repository's root that has the tiny models for its own, and parts that are not to be packed."""
    folder = tmp_path / "root"
    shutil.copytree(ROOT / "service", folder / "service")
    shutil.copytree(models, folder / "models")
    shutil.copy(ROOT / "bentofile.yaml", folder)
    for name in ("training", "export", "tests"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    return folder


@pytest.mark.slow
def test_bentoml_serves_the_root_and_a_bento_of_it_the_same(root: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", command=[*BENTOML, "serve"], cwd=root) as server, server.client() as client:
        listed, drawn = client.get("/models").json(), client.post("/generate", json={"seed": 42}).content
        page = client.get("/page/page.js").content
        assert [model["name"] for model in listed["models"]] == ["grey", "rgb"]
    environment = {**os.environ, **bentoml_home(tmp_path)}
    subprocess.run([*BENTOML, "build"], cwd=root, env=environment, check=True, capture_output=True, timeout=240)
    (bento,) = (path for path in (tmp_path / "bentoml" / "bentos" / "nelumbo").iterdir() if path.is_dir())
    assert sorted(path.name for path in (bento / "src").iterdir()) == ["bentofile.yaml", "models", "service"]
    shutil.rmtree(root)
    command = [*BENTOML, "serve", "nelumbo:latest"]
    with serving(tmp_path / "log", command=command, cwd=tmp_path) as server, server.client() as client:
        assert client.get("/models").json() == listed
        assert client.get("/page/page.js").content == page
        assert client.post("/generate", json={"seed": 42}).content == drawn
