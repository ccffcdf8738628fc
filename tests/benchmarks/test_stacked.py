import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import stacked


def test_a_row_names_the_recipe_its_images_and_what_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[tuple[Any, ...]] = []

    def training(*arguments: Any) -> None:
        """Make the files that the commands make."""
        commands.append(arguments)
        if arguments[:2] == ("data", "stacked"):
            arguments[-1].write_bytes(b"")
        elif arguments[0] == "train":
            run = arguments[-1] / "00000-digits-best-dcgan"
            run.mkdir()
            (run / "log.jsonl").write_text('{"images": 1000}\n{"images": 64000}\n')
        else:
            figures = {"stacked-modes": 999.0, "stacked-kl": 0.125}
            content = [{"name": name, "value": value, "samples": 26000} for name, value in figures.items()]
            arguments[-1].write_text(json.dumps(content))

    monkeypatch.setattr(stacked, "training", training)
    stacked.main(Path("mnist"), minutes=1, recipe="digits-best", out=tmp_path / "runs", samples=26000, run=None)
    assert capsys.readouterr().out == "| `digits-best`, 64 kimg | 999 | 0.12 |\n"
    assert [arguments[0] for arguments in commands] == ["data", "train", "evaluate"]
    assert 26000 in commands[2]
