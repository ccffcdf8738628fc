"""A folder as a source of models: ``file://`` is an object store of obstore's, too."""

import hashlib
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import sources
from service.engine.library import load_library
from service.engine.sources import SourceError, mirrors
from service.errors import ServiceError
from service.settings import read_settings
from tests import tiny
from tests.e2e.server import ROOT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder that is the source; what is mirrored is in another one."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def served(source: Path) -> list[str]:
    return [model.ref for model in load_library(sources.cache_of(f"file://{source}"), "cpu")]


def test_models_are_mirrored_and_follow_their_source(source: Path) -> None:
    url = f"file://{source}"
    first = tiny.write(source, tiny.card("a"))
    (first / "README.md").write_text("# A")
    (first / "notes.txt").write_text("not a part of a model")
    assert sources.mirror(url)
    assert not sources.mirror(url)
    assert served(source) == ["a@1"]
    mirrored = {path.name for path in (sources.cache_of(url) / "a" / "1").iterdir()}
    assert mirrored == {"model.onnx", "sha256", "README.md"}
    tiny.write(source, tiny.card("b"))
    assert sources.mirror(url)
    assert served(source) == ["a@1", "b@1"]
    shutil.rmtree(first)
    assert sources.mirror(url)
    assert served(source) == ["b@1"]


@pytest.mark.parametrize("file", ["README.md", "model.onnx", "sha256"])
def test_no_link_leads_out_of_a_folder_that_is_a_source(source: Path, tmp_path: Path, file: str) -> None:
    folder = tiny.write(source, tiny.card("a"))
    (tmp_path / "secret").write_bytes((folder / file).read_bytes() if (folder / file).exists() else b"horse")
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(tmp_path / "secret")
    assert not sources.mirror(f"file://{source}")
    assert not list(sources.cache_of(f"file://{source}").glob("*/*"))


def test_a_version_without_digests_is_not_complete_yet(source: Path) -> None:
    tiny.write(source, tiny.card("a"))
    (tiny.write(source, tiny.card("b")) / "sha256").unlink()
    assert sources.mirror(f"file://{source}")
    assert served(source) == ["a@1"]


def test_a_damaged_version_leaves_the_one_of_before(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    url, folder = f"file://{source}", tiny.write(source, tiny.card("a"))
    sources.mirror(url)
    before = (sources.cache_of(url) / "a" / "1" / "model.onnx").read_bytes()
    (folder / "sha256").write_text(f"{'0' * 64}  model.onnx\n")
    assert not sources.mirror(url)
    assert "a/1/model.onnx is not what its sha256 says" in caplog.text
    assert (sources.cache_of(url) / "a" / "1" / "model.onnx").read_bytes() == before
    assert not list(sources.cache_of(url).glob(".*"))


def test_a_source_that_is_gone_is_one_sentence_and_what_was_fetched_stays(source: Path) -> None:
    url = f"file://{source}"
    tiny.write(source, tiny.card("a"))
    sources.mirror(url)
    shutil.rmtree(source)
    with pytest.raises(SourceError):
        sources.mirror(url)
    assert served(source) == ["a@1"]


def test_a_version_is_published_once(source: Path, tmp_path: Path) -> None:
    url, folder = f"file://{source}", tiny.write(tmp_path / "models", tiny.card("a"))
    sources.publish(folder, url)
    sources.mirror(url)
    assert served(source) == ["a@1"]
    with pytest.raises(SourceError, match="has a/1 already"):
        sources.publish(folder, url)


def test_an_encoder_comes_with_its_model(source: Path, tmp_path: Path) -> None:
    url, folder = f"file://{source}", tiny.write(tmp_path / "models", tiny.card("a"))
    (folder / "encoder.onnx").write_bytes(b"encoder")
    with (folder / "sha256").open("a") as digests:
        digests.write(f"{hashlib.sha256(b'encoder').hexdigest()}  encoder.onnx\n")
    sources.publish(folder, url)
    assert sources.mirror(url)
    assert (sources.cache_of(url) / "a" / "1" / "encoder.onnx").read_bytes() == b"encoder"


def test_a_source_without_any_version_leaves_what_was_fetched(source: Path) -> None:
    url, folder = f"file://{source}", tiny.write(source, tiny.card("a"))
    sources.mirror(url)
    shutil.rmtree(folder.parent)
    with pytest.raises(SourceError, match="holds no <name>/<version>"):
        sources.mirror(url)
    assert served(source) == ["a@1"]


def test_what_does_not_fit_is_left_out(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = [sum(file.stat().st_size for file in tiny.write(source, tiny.card(name)).iterdir()) for name in "abc"]
    monkeypatch.setattr(mirrors, "MOST_BYTES", sum(sizes) - 1)
    assert sources.mirror(f"file://{source}")
    assert served(source) == ["a@1", "b@1"]
    assert "there is no room for c/1" in caplog.text
    assert not list(sources.cache_of(f"file://{source}").glob(".*"))


def test_a_listing_of_more_files_than_are_served_is_not_read_to_its_end(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = 0

    def endless(_: object) -> Iterator[str]:
        nonlocal listed
        while True:
            listed += 1
            yield f"a/{listed}/model.onnx"

    monkeypatch.setattr(sources.SCHEMES["file"].open, "files", endless)
    with pytest.raises(SourceError, match="more than"):
        sources.mirror(f"file://{source}")
    assert listed == mirrors.MOST_FILES + 1


def test_a_replaced_version_is_not_counted_twice(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = f"file://{source}", tiny.write(source, tiny.card("a"))
    monkeypatch.setattr(mirrors, "MOST_BYTES", 100 + sum(file.stat().st_size for file in folder.iterdir()))
    assert sources.mirror(url)
    shutil.rmtree(folder)
    tiny.write(source, tiny.card("a"), tiny.model(tiny.card("a"), seed=1))
    assert sources.mirror(url)
    assert (sources.cache_of(url) / "a" / "1" / "sha256").read_bytes() == (folder / "sha256").read_bytes()


def test_a_long_address_has_a_folder_of_its_own() -> None:
    first, second = (sources.cache_of(f"https://host/{'a' * 300}/{name}") for name in "ab")
    assert len(first.name) <= 255
    assert first != second


@pytest.mark.parametrize("url", ["s3:/bucket", "ftp://there", "models", "http://host/models"])
def test_other_addresses_are_no_sources(url: str) -> None:
    with pytest.raises(SourceError, match="is no source of models"):
        sources.mirror(url)


@pytest.mark.parametrize("scheme", sources.SCHEMES)
def test_a_source_whose_extra_is_missing_says_which(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("obstore.store", "huggingface_hub", "oras.provider"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "service.engine.sources.registry_client", raising=False)
    with pytest.raises(SourceError, match=re.escape(f"nelumbo[{sources.SCHEMES[scheme].extra}]")):
        sources.mirror(sources.SCHEMES[scheme].example)


def test_the_page_on_serving_has_every_scheme_and_its_extra() -> None:
    rows = [line for line in (ROOT / "docs" / "serve.md").read_text().splitlines() if line.startswith("| `")]
    for name, scheme in sources.SCHEMES.items():
        said = [row for row in rows if f"`{name}://" in row]
        assert name == "file" or all(f"nelumbo[{scheme.extra}]" in row for row in said), name
        assert len(said) == (0 if name == "file" else 1), name


def test_every_extra_of_a_source_is_one_of_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {scheme.extra for scheme in sources.SCHEMES.values()} <= extras.keys()


def test_the_setting_of_models_refuses_an_address_that_nothing_reads() -> None:
    with pytest.raises(ServiceError, match="ftp://host/models is no source of models"):
        read_settings(models="ftp://host/models")


def test_the_setting_of_models_may_name_a_source(source: Path) -> None:
    settings = read_settings(models="s3://bucket/models")
    assert settings.source == "s3://bucket/models"
    assert settings.models == sources.cache_of(settings.source)
    assert settings.environment()["NELUMBO_MODELS"] == str(settings.models)
    assert read_settings(models=source).source is None
