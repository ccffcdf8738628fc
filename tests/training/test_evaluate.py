import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from service.contract import Metric
from tests import DIGITS, command_line, tiny
from tests.training.conftest import make_trainer, tiny_recipe
from tests.training.metrics.test_inception import Stand, write
from training import evaluate as evaluation
from training import images
from training.__main__ import main
from training.configs import ImagesConfig
from training.evaluate import Sets, split
from training.metrics import inception


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of the LeNet, which is trained once for all tests."""
    return tmp_path_factory.mktemp("cache")


def evaluate(cache: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return command_line.run(main, "evaluate", *arguments, XDG_CACHE_HOME=str(cache))


def figures(path: Path) -> dict[str, Metric]:
    """Read the file as the export reads it."""
    return {metric.name: metric for metric in TypeAdapter(list[Metric]).validate_json(path.read_bytes())}


@pytest.mark.slow  # trains the LeNet
def test_a_run_on_labelled_digits_is_scored_with_a_lenet(tmp_path: Path, cache: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    trainer.train()
    out = tmp_path / "scores.json"
    result = evaluate(cache, trainer.run.path, "--data", DIGITS, "--out", out)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    scores = figures(out)
    assert {metric.samples for metric in scores.values()} == {200}  # half of the 400 there are
    assert 0 < scores["lenet-fd-floor"].value < scores["lenet-fd"].value
    assert 0 < scores["swd-floor"].value < scores["swd"].value
    assert sum(scores[f"digit-{digit}"].value for digit in range(10)) == pytest.approx(1)
    assert 0 <= scores["confident-floor"].value <= 1
    assert "of held-out images, digest" in result.stdout
    assert Image.open(tmp_path / "scores-nearest.png").size == (8 * 16, 4 * 16)


@pytest.mark.slow
def test_a_model_file_is_scored_on_unlabelled_photos(tmp_path: Path, cache: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(photos / f"{i}.png")
    model = tiny.write(tmp_path, tiny.card(channels=3)) / "model.onnx"
    result = evaluate(cache, model, "--data", photos, "--samples", 16, "--out", tmp_path / "scores.json")
    assert result.returncode == 0, result.stderr
    scores = figures(tmp_path / "scores.json")
    assert {metric.samples for metric in scores.values()} == {16}
    assert {"random-conv-fd", "random-conv-kd", "random-conv-recall", "random-conv-coverage"} <= scores.keys()
    assert not any(name.startswith(("lenet", "digit")) for name in scores)
    assert "random-conv: fixed random weights, digest" in result.stdout
    assert "fid" not in scores
    again = tmp_path / "again.json"
    evaluate(cache, model, "--data", photos, "--samples", 16, "--out", again)
    assert json.loads(again.read_text()) == json.loads((tmp_path / "scores.json").read_text())


@pytest.mark.slow  # trains the LeNet
def test_only_distances_over_inception_features_are_named_fid(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(inception, "DIMENSIONS", 16)  # the square root of a 2048×2048 matrix takes many seconds
    model = tiny.write(tmp_path, tiny.card()) / "model.onnx"
    weights = write(tmp_path / "inception.pt", Stand(16))
    result = evaluation.evaluate(model, DIGITS, 100, weights)
    scores = {score.name: score for score in result.scores}
    assert 0 < scores["fid"].floor < scores["fid"].value
    assert {"kid", "inception-recall", "inception-coverage", "lenet-fd"} <= scores.keys()
    assert f"inception: the file passed, digest {hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}" in result.note


def test_images_are_made_square_as_they_were_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_trainer(tmp_path, tiny_recipe(images__crop="pad"))
    run.train()
    model = tiny.write(tmp_path, tiny.card()) / "model.onnx"
    read, crops = images.read, []
    monkeypatch.setattr(
        images, "read", lambda source, config, classes: crops.append(config.crop) or read(source, config)
    )
    monkeypatch.setattr(evaluation, "METRICS", {})
    for source, crop in ((run.run.path, None), (model, None), (model, "pad")):
        evaluation.evaluate(source, DIGITS, 16, crop=crop)
    assert crops == ["pad", "center", "pad"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing", "--data", DIGITS], "nothing does not exist; pass a model.onnx or a run folder"),
        ([DIGITS, "--data", DIGITS], "is not an ONNX model"),
        (["nothing", "--data", DIGITS, "--out", "nowhere/scores.json"], "the folder nowhere does not exist"),
        (["nothing", "--data", DIGITS, "--inception", DIGITS], "is not the TorchScript file of Inception v3"),
        (["nothing", "--data", DIGITS, "--inception", DIGITS, "--stacked"], "cannot be combined with --inception"),
    ],
)
def test_invalid_input_gets_one_sentence_and_exit_code_2(cache: Path, arguments: list[object], words: str) -> None:
    result = evaluate(cache, *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_reference_and_held_out_images_are_disjoint_and_the_control_repeats_eight_samples() -> None:
    reals = images.read(DIGITS, ImagesConfig(size=16, channels=1)).images
    samples = reals[::-1][:100]
    sets: Sets = split(reals, samples)
    assert not {image.tobytes() for image in sets.reference} & {image.tobytes() for image in sets.held_out}
    assert len({image.tobytes() for image in sets.collapsed}) == 8
    assert len(sets.reference) == len(sets.held_out) == len(sets.collapsed) == 100
    np.testing.assert_array_equal(reals[sets.held_out_at], sets.held_out)


@pytest.mark.slow  # trains the LeNet
def test_modes_of_stacked_digits_are_counted(tmp_path: Path, cache: Path) -> None:
    model = tiny.write(tmp_path, tiny.card(channels=3)) / "model.onnx"
    out = tmp_path / "scores.json"
    result = evaluate(cache, model, "--data", DIGITS, "--samples", 300, "--out", out, "--stacked")
    assert result.returncode == 0, result.stderr
    scores = figures(out)
    assert scores.keys() == {"stacked-modes", "stacked-modes-floor", "stacked-kl", "stacked-kl-floor"}
    assert scores["stacked-modes"].value < scores["stacked-modes-floor"].value <= 1000
    grey = tiny.write(tmp_path, tiny.card("grey")) / "model.onnx"
    refused = evaluate(cache, grey, "--data", DIGITS, "--stacked")
    assert refused.returncode == 2
    assert "--stacked needs a model with three channels" in refused.stderr


@pytest.mark.slow  # trains the LeNet
def test_a_model_with_classes_is_scored_by_class(tmp_path: Path, cache: Path) -> None:
    recipe = tiny_recipe(generator__family="styled", kimg="0.08")
    trainer = make_trainer(tmp_path, recipe, classes="idx")
    trainer.train()
    out = tmp_path / "scores.json"
    result = evaluate(cache, trainer.run.path, "--data", DIGITS, "--out", out)
    assert result.returncode == 0, result.stderr
    scores = figures(out)
    assert [name for name in scores if name.startswith("asked")] == ["asked", *(f"asked-{i}" for i in range(10))]
    assert sum(scores[f"asked-{i}"].samples for i in range(10)) == scores["asked"].samples == 200
    assert 0 <= scores["asked"].value <= 1
    assert not any(name.startswith("digit") for name in scores)
    assert len(scores) <= 64  # the most that a card holds
