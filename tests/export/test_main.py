import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from export.__main__ import main
from service.contract.graph import read_model
from service.engine import latents, sources
from tests import command_line
from tests.sources import NEEDS_REGISTRY, registry
from tests.training.conftest import make_trainer, tiny_recipe
from training.run import Run


def export(*arguments: object) -> subprocess.CompletedProcess[str]:
    return command_line.run(main, *arguments)


@pytest.fixture(scope="module")
def models(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    metrics = folder / "metrics.json"
    figures = [("sliced-wasserstein", 0.25), ("sliced-wasserstein-error", 0.01)]  # a card has no room for errors
    metrics.write_text(json.dumps([{"name": name, "value": value, "samples": 400} for name, value in figures]))
    licences = ("--licence", "Apache-2.0", "--data-name", "MNIST", "--data-licence", "CC BY-SA 3.0")
    result = export("onnx", run, "--name", "tiny", "--models", folder, "--metrics", metrics, *licences)
    assert result.returncode == 0, result.stderr
    assert "tiny/1/model.onnx" in result.stdout
    return folder


def test_the_card_holds_the_run_the_data_and_the_licences(models: Path, run: Path) -> None:
    card = read_model(models / "tiny" / "1").card
    assert (card.name, card.version, card.latent_dim) == ("tiny", 1, 16)
    assert (card.height, card.width, card.channels) == (16, 16, 1)
    assert (card.recipe, card.objective, card.images_seen, card.run) == ("tiny", "dcgan", 320, run.name)
    assert card.dataset.model_dump() == {
        "name": "MNIST",
        "licence": "CC BY-SA 3.0",
        "count": 400,
        "digest": Run.open(run).report().digest,
    }
    assert [metric.model_dump() for metric in card.metrics] == [
        {"name": "sliced-wasserstein", "value": 0.25, "samples": 400}
    ]
    assert card.licence == "Apache-2.0"
    assert len(card.date) == 10
    keys = {entry.key for entry in onnx.load(models / "tiny" / "1" / "model.onnx").metadata_props}
    assert "schema" in keys


def test_a_seed_gives_the_same_image_in_the_exported_graph_and_in_torch(models: Path, run: Path) -> None:
    latent = latents.from_seed(42, 16)[None]
    session = ort.InferenceSession(models / "tiny" / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    (drawn,) = session.run(None, {"latent": latent, "directions": np.zeros((1, 16), np.float32)})
    expected = (Run.open(run).load_generator().generator(torch.from_numpy(latent)) + 1) * 127.5
    np.testing.assert_allclose(drawn[0, :, :, 0], expected[0, 0].numpy(), atol=1)


@pytest.mark.slow
@NEEDS_REGISTRY
def test_an_export_is_published_to_a_registry_and_served_from_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NELUMBO_CACHE", str(tmp_path / "cache"))
    with registry(tmp_path / "registry") as host:
        url = f"oci://{host}/models:shop"
        result = export("onnx", run, "--name", "shop", "--models", tmp_path / "models", "--to", url)
        assert result.returncode == 0, result.stderr
        assert f"{url}: shop/1" in result.stdout
        assert sources.mirror(url)
    mirrored = read_model(sources.cache_of(url) / "shop" / "1")
    assert mirrored.digest == read_model(tmp_path / "models" / "shop" / "1").digest


@pytest.mark.slow
def test_the_next_export_is_the_next_version(models: Path, run: Path) -> None:
    assert export("onnx", run, "--name", "again", "--models", models).returncode == 0
    assert export("onnx", run, "--name", "again", "--models", models).returncode == 0
    assert read_model(models / "again" / "2").card.version == 2


def test_inspect_prints_the_card(models: Path) -> None:
    result = export("inspect", models / "tiny" / "1" / "model.onnx")
    assert result.returncode == 0
    for words in ("latent_dim", "CC BY-SA 3.0", "ConvTranspose 3", read_model(models / "tiny" / "1").digest[:8]):
        assert words in result.stdout


def test_a_refused_export_prints_one_sentence_and_writes_nothing(run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    for arguments, words in (
        (["onnx", tmp_path, "--name", "x"], "is not a run folder"),
        (["onnx", run, "--name", "X Y"], "lower-case letters"),
        (["onnx", run, "--name", "x", "--metrics", tmp_path / "bad.json"], "is not a JSON list"),
        (["onnx", run, "--name", "x", "--metrics", tmp_path / "none.json"], "is not a JSON list"),
        (["onnx", run, "--name", "x", "--truncation", 0.7], "leave it out"),
    ):
        result = export(*arguments, "--models", tmp_path / "models")
        assert result.returncode == 2
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "models").exists()


def test_a_default_truncation_is_written_to_the_card(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe(generator__family="styled", kimg="0.08"))
    assert trainer.train()
    result = export("onnx", trainer.run.path, "--name", "x", "--models", tmp_path, "--truncation", 0.7)
    assert result.returncode == 0, result.stderr
    card = read_model(tmp_path / "x" / "1").card
    assert (card.truncation, card.default_truncation) == (True, 0.7)


def test_inspect_refuses_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    result = export("inspect", tmp_path / "model.onnx")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "(not-onnx)" in result.stderr
    assert len(result.stderr.splitlines()) == 1
