import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests import DIGITS
from tests.training.conftest import make_trainer, tiny_recipe
from training import evaluate, images, report
from training.metrics import efficientnet


def test_the_report_is_one_file_with_curves_pictures_and_commands(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    trainer.train()
    page = report.build(trainer.run)
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:image/webp;base64,") == 1
    assert page.count("<polyline") == 11  # losses, scores, signs: two each; penalty, diversity, grid, rim, images/s
    for chart in report.CHARTS:
        assert chart.meaning in page
    assert "data: 400 images" in page
    assert f"nelumbo train --resume {trainer.run.path}" in page
    assert f"nelumbo export {trainer.run.path} --name NAME" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is fetched


def test_the_report_lists_warnings_and_escapes_text(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "<b>", tiny_recipe())
    trainer.logbook.tick({"images": 5, "diversity": 0.1}, ["alike & dull"])
    page = report.build(trainer.run)
    assert "5 images: alike &amp; dull" in page
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(page)
    assert "b" not in tags


def test_the_report_holds_the_evaluation_and_the_nearest_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "load", lambda: None)  # which takes most of the time
    monkeypatch.setattr(evaluate, "QUICK", 40)
    trainer = make_trainer(tmp_path, tiny_recipe())
    trainer._save()
    page = report.build(trainer.run)
    assert "<h2>Evaluation</h2>" not in page
    result = evaluate.evaluate_run(trainer.run, images.read(DIGITS, trainer.recipe.images))
    assert result is not None
    evaluate.save(result, trainer.run.path / report.EVALUATION)
    page = report.build(trainer.run)
    assert page.count("<img") == 3  # samples, their timelapse and the pairs
    names = {score.name for score in result.scores}
    assert {"random-conv-kd", "random-conv-recall", "grid", "nearest", "copies"} <= names
    for name in names:
        assert f"<td>{name}</td>" in page
    for sentence in result.sentences():
        assert html.escape(sentence) in page


def test_a_run_that_stopped_before_its_first_tick_has_a_report(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    assert "stopped before the first log line" in report.build(trainer.run)
