import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service import keys
from service.errors import ServiceError
from service.keys import Keys
from tests.e2e.server import ROOT


def written(path: Path, **made: str) -> Path:
    """Write a file of keys by name; each write is a change that is seen."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text("".join(f"{keys.line(name, key)}\n" for name, key in made.items()))
    os.utime(path, ns=(0, before + 1))
    return path


def test_a_key_is_made_once_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "key", "mobile"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (tmp_path / "keys").write_text(made.stdout)
    key = made.stderr.split()[-1]
    assert key not in made.stdout
    assert Keys(tmp_path / "keys").owner(key) == "mobile"
    assert len(key.removeprefix(keys.PREFIX)) == 43  # 256 bits in base64


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ü", "x" * 65, "a\nb"])
def test_a_name_that_cannot_stand_in_the_file_is_refused(name: str) -> None:
    with pytest.raises(ServiceError, match="letters, digits"):
        keys.line(name, keys.new())


def test_each_key_has_its_owner_and_a_wrong_one_none(tmp_path: Path) -> None:
    ours, theirs = keys.new(), keys.new()
    known = Keys(written(tmp_path / "keys", ours=ours, theirs=theirs))
    assert [known.owner(key) for key in (ours, theirs)] == ["ours", "theirs"]
    for wrong in ("", ours[:-1], f"{ours} ", ours.upper(), keys.new(), "\udce4", keys.line("ours", ours)):
        assert known.owner(wrong) is None


def test_two_keys_may_share_a_name_while_one_replaces_the_other(tmp_path: Path) -> None:
    old, new = keys.new(), keys.new()
    (tmp_path / "keys").write_text(f"# the old one goes in May\n{keys.line('us', old)}\n\n{keys.line('us', new)}\n")
    known = Keys(tmp_path / "keys")
    assert known.owner(old) == known.owner(new) == "us"


def test_every_key_is_compared_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [keys.new() for _ in range(5)]
    known = Keys(written(tmp_path / "keys", **{f"k{i}": key for i, key in enumerate(made)}))
    compared: list[bytes] = []
    compare = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append(a) or compare(a, b))
    for key in (made[0], made[4], "wrong"):
        compared.clear()
        known.owner(key)
        assert len(compared) == 5


def test_a_key_that_is_added_or_taken_away_counts_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "INTERVAL", 0.0)
    first, second = keys.new(), keys.new()
    known = Keys(written(tmp_path / "keys", first=first))
    written(tmp_path / "keys", second=second)
    assert (known.owner(first), known.owner(second)) == (None, "second")


def test_a_file_that_has_become_bad_leaves_the_keys_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "INTERVAL", 0.0)
    key = keys.new()
    known = Keys(written(tmp_path / "keys", us=key))
    for spoil in (lambda path: path.write_text("nonsense"), Path.unlink):
        spoil(tmp_path / "keys")
        assert [known.owner(key) for _ in range(3)] == ["us"] * 3
    assert len(re.findall("previous keys stay valid", caplog.text)) == 2  # said once for each change


@pytest.mark.parametrize("left", ["", "# none\n"])
def test_the_last_key_is_taken_away_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    monkeypatch.setattr(keys, "INTERVAL", 0.0)
    key = keys.new()
    known = Keys(written(tmp_path / "keys", us=key))
    (tmp_path / "keys").write_text(left)
    assert known.owner(key) is None
    written(tmp_path / "keys", us=key)
    assert known.owner(key) == "us"


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "has no key"), ("# none\n", "has no key"), ("a:b\n", "line 1"), ("\nx\n", "line 2"), ("ü", "be read")],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ServiceError, match=said):
        keys.read(tmp_path / "keys")
