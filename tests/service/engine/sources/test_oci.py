"""Models in a real registry, Debian's docker-registry, where they are a real image."""

import json
import os
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import sources
from service.engine.library import load_library
from service.engine.sources import SourceError
from tests import tiny
from tests.e2e.server import free_port
from tests.registry_tokens import tokens
from tests.sources import NEEDS_REGISTRY, registry

HASH = "$2b$05$abcdefghijklmnopqrstuuQDoL5Sa/TtfS/XN4AY/jgq.HBbO1BTu"  # of "word"  # pragma: allowlist secret

pytestmark = NEEDS_REGISTRY


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


def served(url: str) -> list[str]:
    return [model.ref for model in load_library(sources.cache_of(url), "cpu")]


def test_a_version_is_published_once_and_comes_back(host: str, tmp_path: Path) -> None:
    url, folder = f"oci://{host}/shop/models:1", tiny.write(tmp_path, tiny.card("a"))
    (folder / "README.md").write_text("# A")
    sources.publish(folder, url)
    assert sources.mirror(url)
    assert not sources.mirror(url)
    mirrored = sources.cache_of(url) / "a" / "1"
    assert {path.name: path.read_bytes() for path in mirrored.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    with pytest.raises(SourceError, match="has a/1 already"):
        sources.publish(folder, url)


def test_a_tag_collects_versions_and_an_image_by_digest_stays_as_it_is(host: str, tmp_path: Path) -> None:
    url = f"oci://{host}/many"  # :latest
    sources.publish(tiny.write(tmp_path, tiny.card("a")), url)
    digest = inspect(f"{host}/many:latest", "{{.Digest}}")
    sources.publish(tiny.write(tmp_path, tiny.card("b")), url)
    assert sources.mirror(url)
    assert served(url) == ["a@1", "b@1"]
    assert sources.mirror(f"oci://{host}/many@{digest}")
    assert served(f"oci://{host}/many@{digest}") == ["a@1"]


def inspect(image: str, form: str) -> str:
    command = ["skopeo", "inspect", "--tls-verify=false", f"--format={form}", f"docker://{image}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(not (shutil.which("buildah") and os.geteuid() == 0), reason="buildah unpacks an image as root")
def test_the_image_unpacks_to_a_folder_of_models(host: str, tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "models", tiny.card("a"))
    sources.publish(folder, f"oci://{host}/image:1")
    store = ("buildah", "--root", tmp_path / "root", "--runroot", tmp_path / "run", "--storage-driver", "vfs")
    pulled = subprocess.run(
        [*store, "from", "--tls-verify=false", f"docker://{host}/image:1"], check=True, capture_output=True, text=True
    )
    mounted = subprocess.run([*store, "mount", pulled.stdout.strip()], check=True, capture_output=True, text=True)
    assert [model.ref for model in load_library(Path(mounted.stdout.strip()), "cpu")] == ["a@1"]
    subprocess.run([*store, "rm", "--all"], check=True, capture_output=True)


def test_another_image_is_neither_read_nor_added_to(host: str, tmp_path: Path) -> None:
    (tmp_path / "layer.tar").write_bytes(bytes(10240))
    subprocess.run(
        [
            "skopeo",
            "copy",
            "-q",
            "--dest-tls-verify=false",
            f"tarball:{tmp_path}/layer.tar",
            f"docker://{host}/other:1",
        ],
        check=True,
    )
    with pytest.raises(SourceError, match="holds no <name>/<version>"):
        sources.mirror(f"oci://{host}/other:1")
    with pytest.raises(SourceError, match="is an image of something else"):
        sources.publish(tiny.write(tmp_path, tiny.card("a")), f"oci://{host}/other:1")


def test_a_registry_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(SourceError):
        sources.mirror(f"oci://127.0.0.1:{free_port()}/models:1")
    assert time.monotonic() - start < 20  # oras itself would wait for 131 s


@pytest.mark.parametrize(
    "url", ["oci://a.b", "oci://a.b/UPPER", "oci://a.b/name:", "oci://a.b/name:a/b", "oci://host/name"]
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(SourceError):
        sources.mirror(url)


def test_a_registry_that_wants_a_password_gets_that_of_docker_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = tmp_path / "users"
    users.write_text(f"me:{HASH}\n")
    folder = tiny.write(tmp_path / "models", tiny.card("a"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with registry(tmp_path / "registry", htpasswd={"realm": "registry", "path": str(users)}) as host:
        url = f"oci://{host}/models:1"
        with pytest.raises(SourceError, match=f"docker login {host}"):
            sources.publish(folder, url)
        login = {"auths": {host: {"auth": b64encode(b"me:word").decode()}}}
        (tmp_path / "config.json").write_text(json.dumps(login))
        sources.publish(folder, url)
        assert sources.mirror(url)
    assert served(url) == ["a@1"]


def test_a_token_to_read_is_exchanged_for_one_to_write(tmp_path: Path) -> None:
    url_of = "oci://{}/shop/models:1".format
    with tokens(tmp_path) as (settings, given), registry(tmp_path / "registry", token=settings) as host:
        sources.publish(tiny.write(tmp_path / "models", tiny.card("a")), url_of(host))
        assert sources.mirror(url_of(host))
        assert served(url_of(host)) == ["a@1"]
    rights = {frozenset(scope.rpartition(":")[2].split(",")) for scope in given if scope}
    assert rights == {frozenset({"pull"}), frozenset({"pull", "push"})}
