"""Models in an OCI registry, ``oci://registry/name:tag``: an image, which Kubernetes mounts as a volume, too.

Its file system is ``<name>/<version>/<file>``. Each layer is a tar archive of one file, named by the layer's
annotation, so that a file can be fetched without the others.
"""

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.contract import ContractError, Refusal, digest_of
from service.engine.sources.base import Source, SourceError, too_large

HOST, NAME, TAG = r"(?=[^/]*[.:])[\w.-]+(?::\d+)?", r"[a-z0-9][a-z0-9._/-]*", r"\w[\w.-]{0,127}"
URL = re.compile(rf"oci://({HOST})/({NAME})(:{TAG}|@sha256:[0-9a-f]{{64}})?", re.ASCII)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OTHERS = (  # what a tag may be instead
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
FILE = "nelumbo.file"  # annotation of a layer: the path of its file
MAX_MANIFEST = 2**22  # bytes, as registries take them; unpacked, where they are sent packed
FRAME = 2**16  # bytes that an archive of one file may have besides it

BLOCK, NAMED = 512, 100  # bytes of a header of an archive, of which the first hold the name

Descriptor = Mapping[str, Any]  # of a blob: mediaType, size, digest, annotations


class Registry(Source):
    """A tag of a repository in a registry."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        if not (found := URL.fullmatch(url)):
            raise SourceError(f"{url}: give oci://registry/name:tag, with a dot or a port in the registry's name")
        from service.engine.sources.registry_client import connect

        host, name, tag = found[1], found[2], found[3] or ":latest"
        self._client = connect(host, name)
        self._image = self._client.get_container(f"{host}/{name}{tag}")
        self._layers: dict[str, Descriptor] = {}  # of the files

    def files(self) -> Iterator[str]:
        """Yield the files of the image that the tag has now."""
        layers = self._manifest().get("layers", ())
        self._layers = {path: layer for layer in layers if (path := _path(layer))}
        yield from self._layers

    def read(self, path: str, limit: int) -> bytes:
        """Return a file; its layer has the digest that the manifest states."""
        layer = self._layers[path]
        if layer["size"] > limit + FRAME:
            too_large(path, limit)
        with self._client.get_blob(self._image, layer["digest"], stream=True) as answer:
            answer.raise_for_status()
            data = answer.raw.read(layer["size"] + 1)
        if f"sha256:{digest_of(data)}" != layer["digest"]:
            raise ContractError(Refusal.WRONG_DIGEST, f"{path} is not what the manifest of {self.url} says")
        return _unpacked(data, path, limit)

    def write(self, place: str, files: Sequence[Path]) -> None:
        """Add a layer for each file to those of the image; the tag is moved once all are there."""
        image = self._manifest()
        layers: list[Descriptor] = [*image.get("layers", ())]
        if image and not (layers and all(map(_path, layers))):
            raise SourceError(f"{self.url} is an image of something else; name another tag")
        for file in files:
            path = f"{place}/{file.name}"
            layers.append({**self._put(_packed(file.read_bytes(), path), LAYER), "annotations": {FILE: path}})
        contents = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}  # they are not compressed
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": contents}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers}
        manifest["config"] = self._put(json.dumps(config).encode(), CONFIG)
        self._client.upload_manifest(manifest, self._image).raise_for_status()

    def _manifest(self) -> Mapping[str, Any]:
        """Return the manifest of the tag; an empty one where there is none yet."""
        url = f"{self._client.prefix}://{self._image.manifest_url()}"
        with self._client.do_request(url, headers={"Accept": ", ".join((MANIFEST, *OTHERS))}, stream=True) as answer:
            if answer.status_code == 404:
                return {}
            answer.raise_for_status()
            data = answer.raw.read(MAX_MANIFEST + 1, decode_content=True)
        if len(data) > MAX_MANIFEST:
            raise SourceError(f"the manifest of {self.url} is larger than {MAX_MANIFEST} bytes")
        found: Mapping[str, Any] = json.loads(data)
        return found

    def _put(self, data: bytes, kind: str) -> Descriptor:
        descriptor = {"mediaType": kind, "size": len(data), "digest": f"sha256:{digest_of(data)}"}
        with tempfile.NamedTemporaryFile() as file:  # oras takes files only
            file.write(data)
            file.flush()
            self._client.upload_blob(file.name, self._image, descriptor).raise_for_status()
        return descriptor


def _path(layer: Descriptor) -> str | None:
    """Return the path of a layer's file; None where it is not one of ours, which all say how large they are."""
    size = layer.get("size")
    return (layer.get("annotations") or {}).get(FILE) if isinstance(size, int) and size >= 0 else None


def _packed(data: bytes, path: str) -> bytes:
    """Return a tar archive of one file; the same bytes for the same file, so that a registry keeps it once."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(data), 0o644
        archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def _unpacked(data: bytes, path: str, limit: int) -> bytes:
    """Return the file of an archive; raises ContractError where it is another.

    Not by ``tarfile.open``: a header of 1 MiB that is no file's takes it ten minutes (CVE-2024-6232, up to Python
    3.11.9), and there is none in an archive as :func:`_packed` makes them.
    """
    head = tarfile.TarInfo(path).tobuf(tarfile.PAX_FORMAT)
    try:
        entry = tarfile.TarInfo.frombuf(data[len(head) - BLOCK : len(head)], "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise ContractError(Refusal.UNREADABLE_FILE, f"{path} is no tar archive: {error}") from error
    file = data[len(head) : len(head) + entry.size]
    if data[:NAMED] != head[:NAMED] or not entry.isreg() or not len(file) == entry.size <= limit:
        sentence = f"{path} is not the file of its layer, or larger than {limit} bytes"
        raise ContractError(Refusal.UNREADABLE_FILE, sentence)
    return file
