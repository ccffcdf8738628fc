"""A folder for the Hugging Face Hub: read by the Hub's own client, and served from it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from export.__main__ import main
from nelumbo.__main__ import main as nelumbo
from service.contract.graph import read_model
from service.engine import sources
from service.engine.folders import read_readme
from service.engine.library import load_library
from tests import command_line, tiny
from tests.sources import hub
from training import weights
from training.run import Run

METRICS = [{"name": "sliced-wasserstein", "value": 12.5, "samples": 400}]


def export(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return command_line.run(main, "hub", *arguments)


@pytest.fixture(scope="module")
def of_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is written of a run alone."""
    out = tmp_path_factory.mktemp("hub") / "digits"
    metrics = out.parent / "metrics.json"
    metrics.write_text(json.dumps(METRICS))
    about = ("--licence", "CC BY-NC 4.0 (ask me)", "--data-name", "My digits", "--data-licence", "CC0-1.0")
    done = export(run, "--name", "digits", "--out", out, "--metrics", metrics, *about)
    assert done.returncode == 0, done.stderr
    return out


def front_matter(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = ModelCard.load(folder / "README.md").data.to_dict()
    return found


def test_the_hub_reads_licence_task_library_tags_and_figures(of_run: Path) -> None:
    about = front_matter(of_run)
    assert about["license"] == "cc-by-nc-4.0"
    assert about["pipeline_tag"] == "unconditional-image-generation"
    assert about["library_name"] == "nelumbo"
    assert {"onnx", "gan", "dcgan", "safetensors"} <= set(about["tags"])
    (result,) = about["model-index"][0]["results"]
    assert result["dataset"] == {"name": "My digits", "type": "my-digits"}
    assert result["metrics"] == [{"type": "sliced-wasserstein", "name": "sliced-wasserstein", "value": 12.5}]


def test_every_file_but_the_card_has_a_digest(of_run: Path) -> None:
    checked = subprocess.run(["sha256sum", "-c", "sha256"], cwd=of_run, check=True, capture_output=True, text=True)
    assert sorted(line.partition(":")[0] for line in checked.stdout.splitlines()) == [
        "config.json",
        "model.onnx",
        "weights.safetensors",
    ]
    assert {path.name for path in of_run.iterdir()} == {
        "README.md", "config.json", "model.onnx", "sha256", "weights.safetensors",
    }  # fmt: skip


def test_the_weights_are_those_of_the_run_with_the_licences_of_the_model(of_run: Path, run: Path) -> None:
    about, parts = weights.read(of_run / "weights.safetensors")
    saved = Run.open(run).load_checkpoint()[0]["gan"]
    assert (about.licence, about.data, about.data_licence) == ("CC BY-NC 4.0 (ask me)", "My digits", "CC0-1.0")
    assert parts["average"].keys() == saved["average"].keys()


def test_the_card_describes_a_model_that_has_no_description(of_run: Path) -> None:
    text = read_readme(of_run)
    assert text is not None
    assert text.startswith("# digits, version 1\n")
    for words in ("My digits: 400", "16×16", "12.5"):
        assert words in text


def test_the_programme_in_the_card_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = tiny.write(tmp_path, tiny.conditional()), tmp_path / "out"
    assert export(folder / "model.onnx", "--out", out).returncode == 0
    (code,) = (out / "README.md").read_text().split("```python\n")[1:]
    monkeypatch.chdir(out)
    found: dict[str, Any] = {}
    exec(code.partition("```")[0], found)
    assert found["images"].shape == (1, 16, 16, 1)
    assert found["images"].dtype == np.uint8


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("my own", {"license": "other", "license_name": "my own"}),
        ("unspecified", {"license": "unknown"}),
    ],
)
def test_a_licence_is_named_as_the_hub_names_it(licence: str, expected: dict[str, str], tmp_path: Path) -> None:
    folder = tiny.write(tmp_path, tiny.card(licence=licence))
    assert export(folder, "--out", tmp_path / "out").returncode == 0
    about = front_matter(tmp_path / "out")
    assert {key: value for key, value in about.items() if key.startswith("license")} == expected


def test_a_model_with_a_description_is_served_from_the_hub(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.write(tmp_path, tiny.card("shop", 3))
    (folder / "README.md").write_text("# My shop\n\n---\n\nA rule.")
    out = tmp_path / "hub" / "me" / "shop" / "main"
    done = command_line.run(nelumbo, "export", "hub", folder, "--run", run, "--out", out)
    assert done.returncode == 0, done.stderr
    assert (out / "weights.safetensors").exists()
    monkeypatch.setenv("NELUMBO_CACHE", str(tmp_path / "cache"))
    with hub(tmp_path / "hub") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert sources.mirror("hf://me/shop")
    (model,) = load_library(sources.cache_of("hf://me/shop"), "cpu")
    assert (model.ref, model.digest) == ("shop@3", read_model(folder).digest)
    assert model.readme is not None
    assert model.readme.startswith("# My shop\n\n---\n\nA rule.")


def test_what_cannot_be_written_is_one_sentence(run: Path, tmp_path: Path) -> None:
    folder = tiny.write(tmp_path, tiny.card())
    for arguments, words in (
        ((folder, "--out", tmp_path), "already exists"),
        ((run, "--out", tmp_path / "out"), "--name"),
        ((run, "--name", "X Y", "--out", tmp_path / "out"), "lower-case letters"),
        ((tmp_path / "none", "--name", "x", "--out", tmp_path / "out"), "is not a run folder"),
    ):
        done = export(*arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "out").exists()
