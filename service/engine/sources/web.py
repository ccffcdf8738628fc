"""Models on a web server, ``https://host/folder``: any that answers GET, as web servers cannot be asked for a listing.

The folder has a file ``sha256``, as ``sha256sum */*/* > sha256`` writes it in a folder of models. The folder of a
version has one, too, so that its own URL can be given: ``https://host/models/cats/1``.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from service.contract.files import DIGEST_FILE, README
from service.engine.sources.base import Source, SourceError, too_large
from service.engine.sources.objects import RETRIES

if TYPE_CHECKING:
    from obstore.store import ClientConfig

MAX_LIST = 2**20  # bytes of the list: a thousand versions with four files each take half of it
LINE = re.compile(r"[0-9a-f]{64} [ *](?:\./)?(\S+)", re.ASCII)
TIMES: "ClientConfig" = {"timeout": "10m", "read_timeout": "30s"}  # for a file; between two pieces of it


class Web(Source):
    """A folder of models, or that of a version, over HTTPS and without credentials."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        from obstore.store import HTTPStore

        parts = urlsplit(url)
        if parts.query or parts.fragment or "@" in parts.netloc:  # a password would be in the logs and in the cache
            raise SourceError(f"{parts.hostname}: give https://host/folder without user, password, ? and #")
        self._store = HTTPStore.from_url(url, client_options=TIMES, retry_config=RETRIES)
        self._version = "/".join(parts.path.strip("/").split("/")[-2:])  # where the URL is that of one
        self._prefix = ""

    def files(self) -> Iterator[str]:
        """Yield the files of the list, or those of the one version."""
        lines = self._get(DIGEST_FILE, MAX_LIST).decode("utf-8", "replace").splitlines()
        found = [line[1] for line in map(LINE.fullmatch, lines) if line]
        if len(found) != len(lines) or not found:
            raise SourceError(f"{self.url}/{DIGEST_FILE} is no list that sha256sum wrote: sha256sum */*/* > sha256")
        if any("/" in file for file in found):
            yield from found
            return
        self._prefix = f"{self._version}/"
        others = [README] if self._has(README) else []
        yield from (f"{self._prefix}{file}" for file in {*found, DIGEST_FILE, *others})

    def read(self, path: str, limit: int) -> bytes:
        """Return a file; the server must say its size (Content-Length)."""
        return self._get(path.removeprefix(self._prefix), limit)

    def _get(self, path: str, limit: int) -> bytes:
        answer = self._store.get(path)
        return bytes(answer.bytes()) if answer.meta["size"] <= limit else too_large(path, limit)

    def _has(self, path: str) -> bool:
        try:
            self._store.head(path)
        except FileNotFoundError:
            return False
        return True
