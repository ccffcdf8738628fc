"""What the repository promises of itself."""

import glob
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.contract.graph import read_model
from service.engine.folders import find_folders
from service.settings import read_settings
from training import recipe as recipes

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def test_every_direct_dependency_is_pinned() -> None:
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    direct = {
        *PROJECT["dependencies"],
        *(name.partition(" ;")[0] for extra in PROJECT["optional-dependencies"].values() for name in extra),
    }
    assert {name for name in direct if not name.startswith("nelumbo")} <= pinned


def test_both_builds_of_onnx_runtime_are_of_one_version() -> None:
    pins = dict(re.findall(r"^(onnxruntime(?:-gpu)?)==(.*)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert pins["onnxruntime-gpu"] == pins["onnxruntime"]


def test_serving_needs_neither_torch_nor_the_other_packages() -> None:
    modules = "service.service, service.__main__"
    code = f"import sys, {modules}; print([m for m in ('torch', 'training', 'export') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_training_imports_neither_export_nor_service() -> None:
    for path in (ROOT / "training").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) (export|service)\b", path.read_text(), re.MULTILINE), path


def test_export_takes_from_service_only_the_contract_and_what_runs_models() -> None:
    for path in (ROOT / "export").rglob("*.py"):
        taken = re.findall(r"^\s*(?:from|import) (service[\w.]*)", path.read_text(), re.MULTILINE)
        runs = {"service.engine.providers", "service.errors"} if path.name in ("optimize.py", "__main__.py") else set()
        others = {name for name in taken if not f"{name}.".startswith("service.contract.")}
        assert others <= {"service.engine"} | runs, path


def test_a_model_is_optimized_without_torch() -> None:
    code = "import sys, export.__main__, export.optimize; print([m for m in ('torch', 'training') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_shipped_digits_keep_the_contract() -> None:
    file = read_model(ROOT / "models" / "digits" / "1")
    assert len(file.data) < 6 * 2**20
    assert file.card.dataset.name == "mnist"
    assert file.card.dataset.licence == "CC BY-SA 3.0"
    assert file.card.metrics


def test_the_page_on_training_lists_every_recipe() -> None:
    listed = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "train.md").read_text(), re.MULTILINE)
    assert sorted(listed) == recipes.names()


def test_a_wheel_contains_all_data_files_of_a_package() -> None:
    for package, patterns in PYPROJECT["tool"]["setuptools"]["package-data"].items():
        packed = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
        found = map(Path, glob.glob(f"{ROOT / package}/**", recursive=True))  # through links, as setuptools does it
        there = {path for path in found if path.is_file() and "__pycache__" not in path.parts}
        assert packed == {path for path in there if path.suffix != ".py"}, package


def rows_with_tests(text: str) -> list[str]:
    """Return the rows of the tables whose last column is for tests."""
    tables = re.findall(r"^\|.*\| tests? \|\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [row for table in tables for row in table.splitlines()]


@pytest.mark.parametrize(("page", "least"), [("SECURITY.md", 10), ("docs/reliability.md", 34)])
def test_every_risk_fault_and_attack_names_tests_that_are_there(page: str, least: int) -> None:
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    rows = rows_with_tests((ROOT / page).read_text())
    assert len(rows) >= least
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rstrip(" |").rpartition(" | ")[2])
        assert named, row
        assert set(named) <= there, row


def test_the_threat_model_names_files_that_are_there() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for path in set(re.findall(r"`(\w+(?:/\w+)*\.py)`", text)):
        assert (ROOT / path).is_file(), path
    for number in range(1, 11):
        assert f"\n| API{number}, " in text


def test_a_body_holds_as_many_latents_as_may_be_asked_for_of_each_shipped_model() -> None:
    settings = read_settings()
    for folder in find_folders(ROOT / "models"):
        assert settings.max_images * read_model(folder).card.latent_dim * 22 < settings.max_body


# Where a time is what is tested: the pauses of slow clients and of a slow counter, and when load arrives.
PAUSES = {f"tests/{name}.py" for name in ("e2e/test_slow_clients", "service/web/test_rate_limit", "e2e/test_overload")}


def test_tests_wait_for_conditions_and_not_for_a_time() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"^(?!.*gevent).*(\bsleep\((?!0\))|wait_for_timeout\()", path.read_text(), re.MULTILINE)
    }
    assert found <= PAUSES | {"tests/waiting.py", "tests/test_house.py"}
