import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests import DIGITS, command_line
from tests.training.conftest import make_trainer, tiny_recipe
from training import recipe as recipes
from training import start
from training.__main__ import main
from training.errors import InputError
from training.metrics import efficientnet
from training.seeds import parse_seeds


def training(*arguments: object) -> subprocess.CompletedProcess[str]:
    return command_line.run(main, *arguments)


def test_recipes_are_listed_one_line_each() -> None:
    result = training("recipes")
    assert result.returncode == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == recipes.names()


def test_a_dry_run_prints_the_plan_and_creates_no_files(tmp_path: Path) -> None:
    result = training("train", "--data", DIGITS, "--recipe", "digits", "--out", tmp_path / "runs", "--dry-run")
    assert result.returncode == 0
    assert '"batch": 64' in result.stdout
    assert "generator: 726,209 parameters" in result.stdout
    assert "a grid every 1,280 images, a snapshot every 64,000 images" in result.stdout
    assert "data: 400 images" in result.stdout
    assert "estimate: " in result.stdout
    assert not (tmp_path / "runs").exists()


ARTICLE = ("train", "--data", DIGITS, "--recipe", "digits")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "--data is missing"),
        (["train", "--data", "nowhere"], "nowhere does not exist"),
        (["train", "--data", DIGITS, "--recipe", "roses"], "there is no recipe 'roses'"),
        (["train", "--data", DIGITS, "--size", 30], "sizes are 16, 28, 32"),
        (["train", "--data", DIGITS, "--minutes", 1, "--kimg", 1], "--minutes cannot be combined with --kimg"),
        (["train", "--data", DIGITS, "--minutes", "inf"], "--minutes must be finite"),
        (["train", "--data", DIGITS, "--device", "cuda"], "torch sees no CUDA GPU here"),
        (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
        (["train", "--resume", "nowhere", "--minutes", 1], "cannot be combined with --minutes"),
        (["train", "--resume", "nowhere", "--init-from", "there"], "cannot be combined with --init-from"),
        (["train", "--resume", "nowhere", "--device", "cpu", "--seed", 0], "cannot be combined with --seed, --device"),
        (["train", "--data", DIGITS, "--init-from", "nowhere"], "nowhere is not a run folder"),
        (
            [*ARTICLE, "--set", "critic.frozen=1"],
            "critic.frozen without --init-from",
        ),
        (
            [*ARTICLE, "--set", "critic.reconstruction=1"],
            "critic.family conv3x3 has no decoder",
        ),
        (["train", "--data", DIGITS, "--set", "batch=[}"], "is no YAML value"),
        (["train", "--data", DIGITS, "--background", "bleu"], "images.background"),
        (["sample", "nowhere"], "nowhere is not a run folder"),
        (["data", "stacked", "--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_invalid_input_gets_one_sentence_and_exit_code_2(arguments: list[object], words: str) -> None:
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = training(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_without_torch_the_error_names_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(name='torch')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for arguments in ("training recipes", f"export onnx run --name x --models {tmp_path}"):
        command = [sys.executable, "-m", *arguments.split()]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert "torch" in result.stderr.lower()
        assert "nelumbo[train]" in result.stderr


def test_sample_draws_the_same_images_for_seeds_as_the_service(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    trainer.train()
    out = tmp_path / "grid.png"
    result = training("sample", trainer.run.path, "--seeds", "42,7-9", "--out", out)
    assert result.returncode == 0, result.stderr
    latents = np.stack([np.random.RandomState(seed).randn(16).astype(np.float32) for seed in (42, 7, 8, 9)])
    drawn = trainer.run.load_generator().generator(torch.from_numpy(latents)).numpy()
    expected = ((drawn[3, 0] + 1) * 127.5).round()
    grid = np.asarray(Image.open(out))
    assert grid.shape == (32, 32)
    np.testing.assert_allclose(grid[16:, 16:], expected, atol=1)


def test_resume_refuses_other_images(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    trainer.train()
    data = trainer.run.path / "data.json"
    data.write_text(json.dumps(json.loads(data.read_text()) | {"digest": "0" * 64}))
    result = training("train", "--resume", trainer.run.path)
    assert result.returncode == 2
    assert "does not contain the images" in result.stderr


@pytest.mark.slow
def test_a_run_whose_images_were_moved_is_resumed_there(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe(kimg="1"))
    trainer._advance()
    trainer._save()
    moved, other = tmp_path / "moved.gz", tmp_path / "other-idx3-ubyte"
    moved.write_bytes(DIGITS.read_bytes())
    digits = gzip.decompress(DIGITS.read_bytes())
    other.write_bytes(digits[:-1] + b"\xff")
    refused = training("train", "--resume", trainer.run.path, "--data", other)
    assert refused.returncode == 2
    assert "does not contain the images" in refused.stderr
    assert trainer.run.config().data == str(DIGITS)
    result = training("train", "--resume", trainer.run.path, "--data", moved)
    assert result.returncode == 0, result.stderr
    assert trainer.run.config().data == str(moved)
    assert trainer.run.load_checkpoint()[0]["seen"] >= 1000


@pytest.mark.parametrize("minutes", [None, 0.02])
def test_a_finished_run_is_extended(tmp_path: Path, minutes: float | None) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe(), minutes=minutes)
    trainer.train()
    refused = training("train", "--resume", trainer.run.path, "--kimg", trainer.seen / 1000)
    assert refused.returncode == 2
    assert "name more" in refused.stderr
    longer = trainer.seen + 160
    assert training("train", "--resume", trainer.run.path, "--kimg", longer / 1000).returncode == 0
    assert longer <= trainer.run.load_checkpoint()[0]["seen"] < longer + 16
    assert (trainer.run.config().recipe.kimg, trainer.run.config().minutes) == (longer / 1000, None)
    assert training("train", "--resume", trainer.run.path).returncode == 0  # nothing is left to do
    assert trainer.run.load_checkpoint()[0]["total"] == longer


@pytest.mark.slow
def test_a_run_that_took_a_while_is_evaluated_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "load", lambda: None)  # which takes most of the time
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(tiny_recipe().model_dump(mode="json")))
    for least, files in ((1000.0, 0), (0.0, 2)):
        monkeypatch.setattr(start, "WORTH_SECONDS", least)
        out = tmp_path / str(least)
        assert training("train", "--data", DIGITS, "--recipe", mine, "--out", out).returncode == 0
        (run,) = out.iterdir()
        assert len(list(run.glob("evaluation*"))) == files
        assert ("<h2>Evaluation</h2>" in (run / "report.html").read_text()) == bool(files)


@pytest.mark.slow
def test_a_run_starts_from_another_run_and_resumes_without_it(tmp_path: Path) -> None:
    source = make_trainer(tmp_path / "source", tiny_recipe())
    source.train()
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(tiny_recipe(critic__minibatch_std="false").model_dump(mode="json")))
    command = ["train", "--data", DIGITS, "--recipe", mine, "--out", tmp_path / "runs", "--init-from", source.run.path]
    command += ["--set", "critic.frozen=1"]
    taken = "6,321 of 6,321 parameters of the generator and 2,200 of 2,457 of the critic are loaded"
    sentence = f"init-from {source.run.path} at 320 images seen: {taken}"
    planned = training(*command, "--dry-run")
    assert sentence in planned.stdout, planned.stderr
    assert not (tmp_path / "runs").exists()
    assert sentence in training(*command).stdout
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "config.json").read_text())["init_from"]["images_seen"] == 320
    average = torch.load(run / "checkpoint-latest.pt", weights_only=True)["gan"]["average"]
    shutil.rmtree(source.run.path)
    (run / "checkpoint-previous.pt").replace(run / "checkpoint-latest.pt")
    resumed = training("train", "--resume", run)
    assert resumed.returncode == 0, resumed.stderr
    again = torch.load(run / "checkpoint-latest.pt", weights_only=True)["gan"]["average"]
    assert all(torch.equal(tensor, again[key]) for key, tensor in average.items())
    assert '"images_seen": 320' in (run / "report.html").read_text().replace("&quot;", '"')


def test_seeds_are_parsed_from_ranges_and_lists() -> None:
    assert parse_seeds("0-3") == [0, 1, 2, 3]
    assert parse_seeds("5, 9-10,4294967295") == [5, 9, 10, 4294967295]


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "4294967296", "0-10000", "1,,2", "9" * 5000])
def test_invalid_seeds_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="use numbers below"):
        parse_seeds(text)
