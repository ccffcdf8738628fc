"""Models in an object store, ``s3://bucket/prefix``, ``gs://…`` or ``az://…``: mirrored into a folder that is served.

A version is taken over whole or not at all: its ``sha256`` is read first, every file is compared with it, and the
folder appears by one rename. Where the store cannot be reached, what is in the folder is served on.
"""

import logging
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from service.contract import ContractError, digest_of
from service.contract.files import DIGEST_FILE, MAX_BYTES, MAX_DIGESTS, MAX_README, README, read_bytes
from service.errors import ServiceError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

logger = logging.getLogger("bentoml.nelumbo.remote")

SCHEMES = ("s3", "gs", "az", "file")
URL = re.compile(rf"({'|'.join(SCHEMES)})://\S+", re.ASCII)
VERSION = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})/([1-9][0-9]{0,9})/([\w.-]{1,64})", re.ASCII)  # name, version, file
MODEL = re.compile(r"model[\w.-]*\.onnx", re.ASCII)
MOST = 1000  # versions of a source
MOST_BYTES = 16 * 2**30  # of a folder that mirrors one

Versions = Mapping[str, Mapping[str, int]]  # digits/1 -> its files, and how many bytes each has


class SourceError(ServiceError):
    """A source of models cannot be read or written."""


def cache_of(url: str) -> Path:
    """Return the folder that mirrors a source: beneath ``NELUMBO_CACHE``, or else the user's cache."""
    root = os.environ.get("NELUMBO_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "nelumbo" / quote(url, safe="")


def mirror(url: str) -> bool:
    """Make the folder of a source hold what the source holds; return whether that changed it.

    Raises:
        SourceError: the source cannot be read, or holds more than fits.
    """
    store, folder = _open(url), cache_of(url)
    folder.mkdir(parents=True, exist_ok=True)
    there = _listed(store, url)
    changed = _remove_others(folder, there)
    for version, files in sorted(there.items()):
        changed |= _take(store, url, version, files, folder)
    return changed


def publish(folder: Path, url: str) -> None:
    """Copy ``<name>/<version>`` to a source; its digests come last, so that nobody takes half of it.

    Raises:
        SourceError: it is there already, or cannot be written.
    """
    store, place = _open(url), f"{folder.parent.name}/{folder.name}"
    if place in _listed(store, url):
        raise SourceError(f"{url} has {place} already; a version that was published is never replaced")
    files = sorted(folder.iterdir(), key=lambda path: path.name == DIGEST_FILE)
    try:
        for path in files:
            store.put(f"{place}/{path.name}", path)
    except Exception as error:
        raise SourceError(f"{url} cannot be written: {_reason(error)}") from error


def _open(url: str) -> "ObjectStore":
    if not URL.fullmatch(url):
        raise SourceError(
            f"{url} is no source of models; sources begin with {', '.join(f'{one}://' for one in SCHEMES)}"
        )
    try:
        from obstore.store import from_url
    except ModuleNotFoundError as error:
        raise SourceError(f"{url} needs pip install 'nelumbo[remote]'") from error
    try:
        return from_url(url)
    except Exception as error:  # obstore's errors have no common ancestor but this
        raise SourceError(f"{url} cannot be opened: {_reason(error)}") from error


def _listed(store: "ObjectStore", url: str) -> Versions:
    """Return the versions of a source that have digests, with their files; raises SourceError."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    try:
        for entries in store.list():
            for entry in entries:
                if (place := VERSION.fullmatch(entry["path"])) and _is_wanted(place[3]):
                    found[f"{place[1]}/{place[2]}"][place[3]] = entry["size"]
    except Exception as error:
        raise SourceError(f"{url} cannot be listed: {_reason(error)}") from error
    versions = {version: files for version, files in found.items() if DIGEST_FILE in files}
    size = sum(sum(files.values()) for files in versions.values())
    if len(versions) > MOST or size > MOST_BYTES:
        raise SourceError(
            f"{url} holds {len(versions)} versions of {size} bytes; at most {MOST} of {MOST_BYTES} are served"
        )
    return versions


def _is_wanted(file: str) -> bool:
    return file in (DIGEST_FILE, README) or MODEL.fullmatch(file) is not None


def _remove_others(folder: Path, there: Versions) -> bool:
    """Remove the versions that the source has no more."""
    gone = [path for path in folder.glob("[!.]*/[!.]*") if f"{path.parent.name}/{path.name}" not in there]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return bool(gone)


def _take(store: "ObjectStore", url: str, version: str, files: Mapping[str, int], folder: Path) -> bool:
    """Take a version over, unless it is there; return whether it was taken. A damaged one is left out, and logged."""
    try:
        digests = _read(store, f"{version}/{DIGEST_FILE}", MAX_DIGESTS)
        if _has(folder / version, digests):
            return False
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
            _fill(store, version, files, digests, Path(partial) / "made")
            shutil.rmtree(folder / version, ignore_errors=True)
            (folder / version).parent.mkdir(exist_ok=True)
            (Path(partial) / "made").rename(folder / version)
    except (ContractError, OSError) as error:
        logger.error("Not taken from %s: %s", url, error)
        return False
    except Exception as error:
        raise SourceError(f"{url} cannot be read: {_reason(error)}") from error
    return True


def _has(version: Path, digests: bytes) -> bool:
    try:
        return read_bytes(version / DIGEST_FILE, MAX_DIGESTS) == digests
    except ContractError:
        return False


def _fill(store: "ObjectStore", version: str, files: Mapping[str, int], digests: bytes, folder: Path) -> None:
    """Write a version's files to a new folder; raises ContractError where one is not what its digest says."""
    folder.mkdir()
    lines = [line.split() for line in digests.decode("ascii", "replace").splitlines()]
    stated = {line[1]: line[0] for line in lines if len(line) == 2}
    for file in files:
        limit = MAX_BYTES if MODEL.fullmatch(file) else MAX_README
        data = digests if file == DIGEST_FILE else _read(store, f"{version}/{file}", limit)
        if MODEL.fullmatch(file) and stated.get(file) != digest_of(data):
            raise ContractError(f"{version}/{file} is not what its {DIGEST_FILE} says")
        (folder / file).write_bytes(data)


def _read(store: "ObjectStore", path: str, limit: int) -> bytes:
    answer = store.get(path)
    if answer.meta["size"] > limit:
        raise ContractError(f"{path} is larger than {limit} bytes")
    return bytes(answer.bytes())


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:300]
