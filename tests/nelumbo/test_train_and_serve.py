import os
from pathlib import Path

import onnx
import pytest

from export.serialise import serialise
from nelumbo.__main__ import main
from nelumbo.train_and_serve import model_name, refine_newest
from service.contract.graph import read_model
from tests import DIGITS, command_line, tiny
from tests.export.test_refine import SIZE, styled, write_photos
from training import refine
from training.metrics import efficientnet
from training.metrics.features import random_conv

SMALL = ("generator.width=8", "critic.width=8", "batch=16", "kimg=0.16")


@pytest.mark.parametrize(
    ("data", "name"),
    [("My Cats.zip", "my-cats"), ("photos", "photos"), ("Fotos 2024 (ü)", "fotos-2024"), ("ねこ", "mine")],
)
def test_a_model_is_named_as_its_images_are(data: str, name: str) -> None:
    assert model_name(Path(data)) == name


@pytest.mark.slow
def test_train_and_serve_does_what_one_would_do_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    options = [word for field in SMALL for word in ("--set", field)]
    done = command_line.run(main, "train", "--data", DIGITS, "--serve", *options)
    assert done.returncode == 0, done.stderr
    assert "nelumbo serve\n--serve does all three now" in done.stdout  # after the commands that one would type
    (run,) = (tmp_path / "runs").iterdir()
    assert {"grid.png", "evaluation.json", "report.html"} <= {path.name for path in run.iterdir()}
    (model,) = (tmp_path / "models").iterdir()
    card = read_model(model / "1").card
    assert card.metrics
    assert [command[1:] for command in started] == [["-m", "nelumbo", "serve", "--default-model", card.name]]


@pytest.mark.slow
def test_the_newest_version_is_refined_where_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(refine, "STEPS", 200)
    monkeypatch.setattr(efficientnet, "load", lambda: random_conv(3, SIZE))
    model, card = styled()
    photos = write_photos(tmp_path / "photos", model)
    card = card.model_copy(update={"name": "mine"})
    tiny.write(tmp_path / "models", card, onnx.load_from_string(serialise(model, card)))
    refine_newest("mine", photos, "center")
    assert read_model(tmp_path / "models/mine/2").card.default_truncation < 1

    tiny.write(tmp_path / "models", tiny.card("plain"))
    refine_newest("plain", photos, "center")
    assert not (tmp_path / "models/plain/2").exists()
    assert len(capsys.readouterr().err.splitlines()) == 1
