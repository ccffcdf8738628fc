import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import pictures
from tests import DIGITS

TABLE = "# Log\n\n| no. | verdict |\n|---|---|\n\nAnd more.\n"
SMALL = ["generator.width=8", "critic.width=8", "generator.latent_dim=16", "batch=16", "tick_kimg=0.1"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pictures, "LOG", tmp_path / "experiments.md")
    monkeypatch.setattr(pictures, "GRIDS", tmp_path / "experiments")
    monkeypatch.setattr(pictures, "MEASURED_SECONDS", 0)
    monkeypatch.setattr(pictures, "SAMPLES", 16)
    pictures.LOG.write_text(TABLE)
    return pictures.LOG


@pytest.mark.slow
def test_a_run_becomes_a_row_with_figures_and_a_grid(log: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    pictures.main(str(DIGITS), 0.02, "digits-best", SMALL, 16, "does it work?", out=runs)
    row = log.read_text().splitlines()[4]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "001"
    assert cells[3] == "does it work?"
    assert len(cells) == len(pictures.COLUMNS)
    assert all(re.fullmatch(r"-?[\d.e+]+( ± [\d.e+]+)?", cell) for cell in cells[6:16])
    assert cells[-1] == "TODO"
    assert Image.open(log.parent / re.findall(r"\((.*)\)", cells[-2])[0]).size == (128, 128)  # 8 × 8 of 16 pixels
    assert log.read_text().endswith("\n\nAnd more.\n")
    pictures.main(str(DIGITS), 0.02, "digits-best", SMALL, run=next(runs.iterdir()))  # scored again, not trained
    assert len(list(runs.iterdir())) == 1
    assert log.read_text().splitlines()[5].startswith("| 002 |")


def test_the_log_has_the_columns_of_a_row() -> None:
    lines = (pictures.ROOT / "docs/experiments.md").read_text().splitlines()
    header = [line for line in lines if line.startswith("| no. |")][-1]  # rows are appended to the last table
    assert [cell.strip() for cell in header.strip("|").split("|")] == list(pictures.COLUMNS)


def test_every_row_of_the_log_has_its_grid_and_a_verdict() -> None:
    text = (pictures.ROOT / "docs/experiments.md").read_text()
    rows = re.findall(r"^\| (\d{3}) \|.*\((experiments/.*)\) \| (.*) \|$", text, re.MULTILINE)
    numbers = [number for number, _, _ in rows]
    assert len(numbers) == len(set(numbers))
    for number, grid, verdict in rows:
        assert (pictures.ROOT / "docs" / grid).name.startswith(number)
        assert (pictures.ROOT / "docs" / grid).is_file()
        assert verdict != "TODO"
