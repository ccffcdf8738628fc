import random
from pathlib import Path

import pytest

from service import keys
from tests import audit


@pytest.mark.slow
def test_code_and_files_are_clean() -> None:
    assert not audit.code()
    assert not audit.secrets()


def test_a_hole_fails_and_a_database_that_is_away_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    hole = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    unasked = {"name": "b", "skip_reason": "not found"}
    assert audit.holes([hole, unasked])
    assert "a 1: CVE-1, repaired in 2" in capsys.readouterr().out
    assert not audit.holes([unasked])
    assert "not reachable, skipped" in capsys.readouterr().out


def test_a_key_of_ours_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 20,000 random keys the scanner missed one: this is always the same one.
    monkeypatch.setattr("secrets.token_bytes", random.Random(0).randbytes)
    (tmp_path / "file.py").write_text(f'\nKEY = "{keys.new()}"\n')
    assert audit.leaks(tmp_path, ["file.py"]) == ["detect-secrets: file.py:2: Base64 High Entropy String"]
