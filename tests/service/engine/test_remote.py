"""A folder as a source of models: ``file://`` is an object store of obstore's, too."""

import shutil
from pathlib import Path

import pytest

from service.engine import remote
from service.engine.library import load_library
from service.engine.remote import SourceError
from service.settings import read_settings
from tests import tiny


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the source; what is mirrored is in another one."""
    monkeypatch.setenv("NELUMBO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def served(source: Path) -> list[str]:
    return [model.ref for model in load_library(remote.cache_of(f"file://{source}"), "cpu")]


def test_models_are_mirrored_and_follow_their_source(source: Path) -> None:
    url = f"file://{source}"
    first = tiny.write(source, tiny.card("a"))
    (first / "README.md").write_text("# A")
    (first / "notes.txt").write_text("not a part of a model")
    assert remote.mirror(url)
    assert not remote.mirror(url)
    assert served(source) == ["a@1"]
    mirrored = {path.name for path in (remote.cache_of(url) / "a" / "1").iterdir()}
    assert mirrored == {"model.onnx", "sha256", "README.md"}
    tiny.write(source, tiny.card("b"))
    assert remote.mirror(url)
    assert served(source) == ["a@1", "b@1"]
    shutil.rmtree(first)
    assert remote.mirror(url)
    assert served(source) == ["b@1"]


def test_a_version_without_digests_is_not_complete_yet(source: Path) -> None:
    tiny.write(source, tiny.card("a"))
    (tiny.write(source, tiny.card("b")) / "sha256").unlink()
    assert remote.mirror(f"file://{source}")
    assert served(source) == ["a@1"]


def test_a_damaged_version_leaves_the_one_of_before(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    url, folder = f"file://{source}", tiny.write(source, tiny.card("a"))
    remote.mirror(url)
    before = (remote.cache_of(url) / "a" / "1" / "model.onnx").read_bytes()
    (folder / "sha256").write_text(f"{'0' * 64}  model.onnx\n")
    assert not remote.mirror(url)
    assert "a/1/model.onnx is not what its sha256 says" in caplog.text
    assert (remote.cache_of(url) / "a" / "1" / "model.onnx").read_bytes() == before
    assert not list(remote.cache_of(url).glob(".*"))


def test_a_source_that_is_gone_is_one_sentence_and_what_was_fetched_stays(source: Path) -> None:
    url = f"file://{source}"
    tiny.write(source, tiny.card("a"))
    remote.mirror(url)
    shutil.rmtree(source)
    with pytest.raises(SourceError):
        remote.mirror(url)
    assert served(source) == ["a@1"]


def test_a_version_is_published_once(source: Path, tmp_path: Path) -> None:
    url, folder = f"file://{source}", tiny.write(tmp_path / "models", tiny.card("a"))
    remote.publish(folder, url)
    remote.mirror(url)
    assert served(source) == ["a@1"]
    with pytest.raises(SourceError, match="has a/1 already"):
        remote.publish(folder, url)


@pytest.mark.parametrize("url", ["s3:/bucket", "ftp://there", "s3://a b"])
def test_other_addresses_are_no_sources(url: str) -> None:
    with pytest.raises(SourceError, match="is no source of models"):
        remote.mirror(url)


def test_the_setting_of_models_may_name_a_source(source: Path) -> None:
    settings = read_settings(models="s3://bucket/models")
    assert settings.source == "s3://bucket/models"
    assert settings.models == remote.cache_of(settings.source)
    assert settings.environment()["NELUMBO_MODELS"] == str(settings.models)
    assert read_settings(models=source).source is None
