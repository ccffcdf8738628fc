"""Models on a server that answers as the Hugging Face Hub does, read by its own client."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import sources
from service.engine.library import load_library
from service.engine.sources import SourceError
from tests import tiny
from tests.sources import hub


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the repository ``me/pictures``, with a folder for each revision."""
    made = tmp_path / "hub" / "me" / "pictures"
    made.mkdir(parents=True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with hub(tmp_path / "hub") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield made


def served(url: str) -> list[str]:
    return [model.ref for model in load_library(sources.cache_of(url), "cpu")]


def test_a_repository_is_mirrored_and_followed(repository: Path) -> None:
    url = "hf://me/pictures"
    tiny.write(repository / "main", tiny.card("a"))
    assert sources.mirror(url)
    assert not sources.mirror(url)
    assert served(url) == ["a@1"]
    tiny.write(repository / "main", tiny.card("a", 2))
    assert sources.mirror(url)
    assert sorted(served(url)) == ["a@1", "a@2"]


def test_a_revision_is_read_as_it_was(repository: Path) -> None:
    tiny.write(repository / "v1", tiny.card("a"))
    tiny.write(repository / "main", tiny.card("b"))
    assert sources.mirror("hf://me/pictures@v1")
    assert served("hf://me/pictures@v1") == ["a@1"]


def test_a_version_in_the_root_is_named_by_its_configuration(repository: Path) -> None:
    shutil.move(tiny.write(repository, tiny.card("a", 3)), repository / "main")
    (repository / "a").rmdir()
    with pytest.raises(SourceError, match="export hub"):
        sources.mirror("hf://me/pictures")
    (repository / "main" / "config.json").write_text(json.dumps({"name": "a", "version": 3}))
    assert sources.mirror("hf://me/pictures")
    assert served("hf://me/pictures") == ["a@3"]
    mirrored = {path.name for path in (sources.cache_of("hf://me/pictures") / "a" / "3").iterdir()}
    assert mirrored == {"model.onnx", "sha256"}


def test_a_large_file_is_not_fetched(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tiny.write(repository / "main", tiny.card("a")) / "README.md").write_bytes(bytes(2**16 + 1))
    assert not sources.mirror("hf://me/pictures")
    assert "larger than" in caplog.text


@pytest.mark.parametrize("url", ["hf://me", "hf://me/pictures/main", "hf://me/pictures@a b", "hf:///"])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(SourceError):
        sources.mirror(url)


def test_an_unknown_repository_is_one_sentence(repository: Path) -> None:
    with pytest.raises(SourceError) as refused:
        sources.mirror("hf://me/nothing")
    assert len(str(refused.value).splitlines()) == 1


def test_it_is_not_published_to(repository: Path, tmp_path: Path) -> None:
    tiny.write(repository / "main", tiny.card("a"))
    with pytest.raises(SourceError, match="cannot be written"):
        sources.publish(tiny.write(tmp_path / "models", tiny.card("b")), "hf://me/pictures")
