import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving import bare, bulk, models, targets
from benchmarks.serving.report import Report
from benchmarks.serving.speed import Speed, median, ratio
from benchmarks.serving.targets import BARE, ONE
from service.engine.library import Library, load_library
from service.settings import read_settings
from tests import tiny
from tests.service.formats.test_png import read

MODEL = "dcgan64@1"
MEASURED = {
    (MODEL, ONE): [Speed(300, 3, 4, 5, 3)] * 3,
    (MODEL, BARE): [Speed(600, 50, 55, 60, 2), Speed(300, 100, 110, 120, 2), Speed(600, 50, 55, 60, 2)],
    (MODEL, "1 connection"): [Speed(200, 4, 5, 8, 4)] * 3,
    (MODEL, "32 connections"): [Speed(540, 60, 70, 90, 3), Speed(270, 120, 140, 180, 3), Speed(480, 60, 70, 90, 3)],
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("benchmark") / "models"
    models.build(folder, 32)
    return load_library(folder, "cpu")


def test_the_generators_are_exported_and_draw_pictures_that_differ(library: Library) -> None:
    (model,) = library
    first, second = (read(png) for png in bare.draw(model, [1, 2]))
    assert (model.ref, first.shape) == ("dcgan32@1", (32, 32, 3))
    assert np.abs(first.astype(int) - second).mean() > 10
    assert first.std() > 10


def test_the_bare_loop_counts_what_it_draws(library: Library) -> None:
    speed = bare.loop(next(iter(library)), threads=2, batch=4, seconds=0.2)
    assert speed.rate > 0
    assert 0 < speed.p50 <= speed.p95 <= speed.p99


@pytest.mark.parametrize("out", bulk.OUTS)
def test_drawing_to_files_stops_when_the_time_is_up(out: str, tmp_path: Path) -> None:
    tiny.write(tmp_path)
    drawer = bulk.renderer(read_settings(), tmp_path)
    speed = bulk.draw(drawer, drawer.library.find(None), 4, out, 0.2)
    drawer.close()
    assert speed.rate > 0
    assert 0 < speed.p50 <= speed.p95 <= speed.p99


def test_a_turn_slowed_by_other_load_does_not_change_the_ratio() -> None:
    assert median(MEASURED[MODEL, BARE]).rate == 600
    assert ratio(MEASURED[MODEL, "32 connections"], MEASURED[MODEL, BARE]) == pytest.approx(0.9)


def test_targets_are_judged_as_far_as_they_were_measured() -> None:
    assert [row[1:] for row in targets.rows(MEASURED)] == [
        ["≥ 0.85", "0.90", "yes"],
        ["≤ 1.35", "1.33", "yes"],
        ["≤ 2.50", "2.00", "yes"],
        ["≤ 2.00", "1.50", "yes"],
    ]


def test_a_report_fills_its_place_in_the_docs_again_and_again(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    for threads in (4, 5):
        Report("2 cores", MEASURED, [(threads, 130.0)]).write(tmp_path)
    text = page.read_text()
    assert text.startswith("before\n<!-- measured -->\n")
    assert text.endswith("<!-- /measured -->\nafter\n")
    assert "old" not in text
    assert re.findall(r"^\| 0 \|.*$", text, re.MULTILINE) == ["| 0 | 5 | 130 |"]
    assert json.loads((tmp_path / "serving.json").read_text())["measured"][0]["what"] == MODEL
    assert len(ElementTree.parse(tmp_path / "serving.svg").findall(".//{*}rect")) == len(MEASURED)


def test_the_docs_have_a_place_for_it() -> None:
    page = Path(__file__).parents[1] / "docs" / "performance.md"
    assert "<!-- measured -->\n" in page.read_text()
