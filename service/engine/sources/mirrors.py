"""A source, mirrored into a folder that is served.

A version is taken over whole or not at all: its ``sha256`` is read first, every file is compared with it, and the
folder appears by one rename. Where the source cannot be reached, what is in the folder is served on.
"""

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from service.contract import ContractError, Refusal, digest_of
from service.contract.encoder import ENCODER_FILE
from service.contract.files import DIGEST_FILE, MAX_BYTES, MAX_DIGESTS, MAX_README, README, read_bytes
from service.engine.sources.base import Source, SourceError, reason
from service.engine.sources.registry import open_source

logger = logging.getLogger("bentoml.nelumbo.sources")

VERSION = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})/([1-9][0-9]{0,9})/([\w.-]{1,64})", re.ASCII)  # name, version, file
MODEL = re.compile(rf"model[\w.-]*\.onnx|{re.escape(ENCODER_FILE)}", re.ASCII)  # what a line of the digests vouches for
MOST = 1000  # versions of a source
MOST_FILES = 16 * MOST  # of all versions, finished or not
MOST_BYTES = 16 * 2**30  # of a folder that mirrors one
MAX_NAME = 200  # of the folder: most file systems allow 255

Versions = Mapping[str, list[str]]  # digits/1 -> its files


def cache_of(url: str) -> Path:
    """Return the folder that mirrors a source: beneath ``NELUMBO_CACHE``, or else the user's cache."""
    root = os.environ.get("NELUMBO_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = quote(url, safe="")
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 65]}-{hashlib.sha256(url.encode()).hexdigest()}"
    return Path(root).expanduser() / "nelumbo" / name


def mirror(url: str) -> bool:
    """Make the folder of a source hold what the source holds; return whether that changed it.

    A version that is damaged or for which there is no room is left out, and logged.

    Raises:
        SourceError: the source cannot be read, or holds no version or too many.
    """
    source, folder = open_source(url), cache_of(url)
    there = _listed(source)
    folder.mkdir(parents=True, exist_ok=True)
    changed = _remove_others(folder, there)
    for version, files in sorted(there.items()):
        changed |= _take(source, version, files, folder)
    return changed


def publish(folder: Path, url: str) -> None:
    """Copy ``<name>/<version>`` to a source; its digests come last, so that nobody takes half of it.

    Raises:
        SourceError: it is there already, or cannot be written.
    """
    source, place = open_source(url), f"{folder.parent.name}/{folder.name}"
    files = sorted(folder.iterdir(), key=lambda path: (path.name == DIGEST_FILE, path.name))
    try:
        if place in _complete(source):
            raise SourceError(f"{url} has {place} already; a version that was published is never replaced")
        source.write(place, files)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{url} cannot be written: {reason(error)}") from error


def _listed(source: Source) -> Versions:
    """Return the versions of a source; raises SourceError."""
    try:
        versions = _complete(source)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{source.url} cannot be listed: {reason(error)}") from error
    if not versions:  # a wrong address more often than a wish: what was fetched before stays
        raise SourceError(f"{source.url} holds no <name>/<version> with a file {DIGEST_FILE}")
    if len(versions) > MOST:
        raise SourceError(f"{source.url} holds {len(versions)} versions; at most {MOST} are served")
    return versions


def _complete(source: Source) -> Versions:
    """Return the versions that have digests, with those of their files that are served; raises SourceError."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    left = MOST_FILES
    for path in source.files():
        if (place := VERSION.fullmatch(path)) and _is_wanted(place[3]):
            if (left := left - 1) < 0:
                raise SourceError(f"{source.url} holds more than {MOST_FILES} files of models")
            found[f"{place[1]}/{place[2]}"].append(place[3])
    return {version: files for version, files in found.items() if DIGEST_FILE in files}


def _is_wanted(file: str) -> bool:
    return file in (DIGEST_FILE, README) or MODEL.fullmatch(file) is not None


def _remove_others(folder: Path, there: Versions) -> bool:
    """Remove the versions that the source has no more."""
    gone = [path for path in folder.glob("[!.]*/[!.]*") if f"{path.parent.name}/{path.name}" not in there]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return bool(gone)


def _take(source: Source, version: str, files: list[str], folder: Path) -> bool:
    """Take a version over, unless it is there; return whether it was taken."""
    try:
        digests = source.read(f"{version}/{DIGEST_FILE}", MAX_DIGESTS)
        if _has(folder / version, digests):
            return False
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
            _fill(source, version, files, digests, Path(partial) / "made", _room(folder, version))
            shutil.rmtree(folder / version, ignore_errors=True)
            (folder / version).parent.mkdir(exist_ok=True)
            (Path(partial) / "made").rename(folder / version)
    except (ContractError, FileNotFoundError) as error:  # a file was removed, or was never there
        logger.error("Not taken from %s: %s", source.url, reason(error))
        return False
    except Exception as error:
        raise SourceError(f"{source.url} cannot be read: {reason(error)}") from error
    return True


def _has(version: Path, digests: bytes) -> bool:
    try:
        return read_bytes(version / DIGEST_FILE, MAX_DIGESTS) == digests
    except ContractError:
        return False


def _room(folder: Path, version: str) -> int:
    """Return how many bytes a version may have beside the others of the folder."""
    others = (path for path in folder.glob("[!.]*/[!.]*/*") if not path.is_relative_to(folder / version))
    return MOST_BYTES - sum(path.stat().st_size for path in others)


def _fill(source: Source, version: str, files: list[str], digests: bytes, folder: Path, room: int) -> None:
    """Write a version's files to a new folder; raises ContractError where one is not what its digest says."""
    folder.mkdir()
    lines = [line.split() for line in digests.decode("ascii", "replace").splitlines()]
    stated = {line[1]: line[0] for line in lines if len(line) == 2}
    for file in files:
        limit = MAX_BYTES if MODEL.fullmatch(file) else MAX_README
        data = digests if file == DIGEST_FILE else source.read(f"{version}/{file}", limit)
        if MODEL.fullmatch(file) and stated.get(file) != digest_of(data):
            raise ContractError(Refusal.WRONG_DIGEST, f"{version}/{file} is not what its {DIGEST_FILE} says")
        room -= len(data)
        if room < 0:
            sentence = f"there is no room for {version}: at most {MOST_BYTES} bytes of a source are kept"
            raise ContractError(Refusal.TOO_LARGE, sentence)
        (folder / file).write_bytes(data)
