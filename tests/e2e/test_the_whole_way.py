"""Images -> run -> model.onnx -> POST /generate -> PNG, by the commands that a user types."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import DIGITS
from tests.e2e.server import serving

STEPS = 20
SMALL = ("generator.width=8", "critic.width=8", "batch=16", f"kimg={STEPS * 16 / 1000}")


def run(*arguments: object) -> None:
    command = [sys.executable, "-m", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_twenty_steps_on_real_digits_are_trained_exported_and_served(tmp_path: Path) -> None:
    settings = [argument for setting in SMALL for argument in ("--set", setting)]
    run("training", "train", "--data", DIGITS, "--recipe", "digits", "--out", tmp_path / "runs", *settings)
    trained = tmp_path / "runs" / "00000-digits-gan"
    run("export", "onnx", trained, "--name", "mine", "--models", tmp_path / "models")
    run("training", "sample", trained, "--seeds", "42", "--out", tmp_path / "42.png")
    with serving(tmp_path / "log", models=tmp_path / "models") as server, server.client() as client:
        (listed,) = client.get("/models").json()["models"]
        assert (listed["name"], listed["version"], listed["images_seen"]) == ("mine", 1, STEPS * 16)
        answer = client.post("/generate", json={"seed": 42})
        assert answer.status_code == 200, answer.text
        served = np.asarray(Image.open(io.BytesIO(answer.content)), np.int16)
    sampled = np.asarray(Image.open(tmp_path / "42.png"), np.int16)
    assert served.shape == (28, 28)
    assert np.abs(served - sampled).max() <= 1  # the same seed, through torch and through HTTP


@pytest.mark.slow
def test_a_folder_of_folders_is_trained_exported_served_and_asked_for_by_class(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 80, (3, 12, 40, 50, 3), dtype=np.uint8)
    for kind, (name, photos) in enumerate(zip(("apple", "banana", "さくら"), noise, strict=True)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        photos[..., kind] += 120
        for i, pixels in enumerate(photos):
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.jpg")
    settings = [argument for setting in SMALL for argument in ("--set", setting)]
    command = ["--data", tmp_path / "photos", "--classes", "folders", "--recipe", "photos-best", "--size", "16"]
    run("training", "train", *command, "--out", tmp_path / "runs", *settings)
    trained = tmp_path / "runs" / "00000-photos-best-r3gan"
    run("export", "onnx", trained, "--name", "fruit", "--models", tmp_path / "models")
    run("training", "sample", trained, "--seeds", "42", "--class", "さくら", "--out", tmp_path / "42.png")
    with serving(tmp_path / "log", models=tmp_path / "models") as server, server.client() as client:
        (listed,) = client.get("/models").json()["models"]
        assert listed["classes"] == ["apple", "banana", "さくら"]
        answer = client.post("/generate", json={"seed": 42, "class": "さくら", "format": "png"})
        assert answer.status_code == 200, answer.text
        assert client.post("/generate", json={"seed": 42, "class": "apfel"}).status_code == 422
        served = np.asarray(Image.open(io.BytesIO(answer.content)), np.int16)
    sampled = np.asarray(Image.open(tmp_path / "42.png"), np.int16)
    assert np.abs(served - sampled).max() <= 1  # the same seed and class, through torch and through HTTP
