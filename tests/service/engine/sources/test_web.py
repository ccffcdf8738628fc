"""Models on a web server with TLS, as any file server has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import sources
from service.engine.library import load_library
from service.engine.sources import SourceError
from tests import certificates, tiny
from tests.sources import list_files, trust, web


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the web server has: a model with a description, and the list of it."""
    made = tmp_path / "served"
    (tiny.write(made, tiny.card("a")) / "README.md").write_text("# A")
    list_files(made)
    return made


@pytest.fixture
def url(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in trust(tmp_path).items():
        monkeypatch.setenv(name, value)
    with web(folder, certificates.for_loopback(tmp_path)) as address:
        yield address


def mirrored(url: str) -> list[str]:
    folder = sources.cache_of(url)
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*/*"))


def test_a_folder_with_a_list_is_mirrored_and_followed(url: str, folder: Path) -> None:
    assert sources.mirror(url)
    assert mirrored(url) == ["a/1/README.md", "a/1/model.onnx", "a/1/sha256"]
    assert not sources.mirror(url)
    tiny.write(folder, tiny.card("b"))
    assert not sources.mirror(url)  # it is not in the list
    list_files(folder)
    assert sources.mirror(url)
    assert [model.ref for model in load_library(sources.cache_of(url), "cpu")] == ["a@1", "b@1"]


def test_the_folder_of_a_version_needs_no_other_list(url: str) -> None:
    assert sources.mirror(f"{url}/a/1")
    assert mirrored(f"{url}/a/1") == ["a/1/README.md", "a/1/model.onnx", "a/1/sha256"]
    assert not sources.mirror(f"{url}/a/1")


def test_a_page_where_the_list_should_be_removes_nothing(url: str, folder: Path) -> None:
    sources.mirror(url)
    (folder / "sha256").write_text("<!doctype html><p>Our pages have moved.")
    with pytest.raises(SourceError, match="is no list that sha256sum wrote"):
        sources.mirror(url)
    assert len(mirrored(url)) == 3


def test_a_file_that_is_in_the_list_only_leaves_the_other_versions_alone(
    url: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tiny.write(folder, tiny.card("0")) / "README.md").write_text("# 0")
    list_files(folder)
    (folder / "0" / "1" / "model.onnx").unlink()
    assert sources.mirror(url)
    assert {path.partition("/")[0] for path in mirrored(url)} == {"a"}
    assert "0/1/model.onnx" in caplog.text


def test_a_larger_file_than_is_allowed_is_not_fetched(url: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a" / "1" / "README.md").write_bytes(bytes(2**16 + 1))
    assert not sources.mirror(url)
    assert "a/1/README.md is larger than 65536 bytes" in caplog.text
    assert mirrored(url) == []


def test_a_server_that_nobody_vouches_for_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SourceError):
        sources.mirror(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:word@host/models",  # pragma: allowlist secret
        "https://host/models?key=word",
        "https://host/#word",
    ],
)
def test_an_address_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SourceError) as refused:
        sources.mirror(url)
    assert "word" not in str(refused.value).replace("password", "")
