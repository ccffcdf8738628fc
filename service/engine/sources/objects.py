"""Models in an object store: S3 and what speaks it, Google Cloud Storage, Azure; a folder is one, too (``file://``)."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from service.contract.files import read_inside
from service.engine.sources.base import Source, too_large

if TYPE_CHECKING:
    from obstore.store import RetryConfig

# The watcher asks again anyway: by default a server would wait for 3 minutes, and then start with what it has.
RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


class Objects(Source):
    """An object store, with the keys and endpoints of the environment."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        from obstore.store import from_url

        self._store = from_url(url, retry_config=RETRIES)

    def files(self) -> Iterator[str]:
        """Yield what is below the URL's prefix."""
        for entries in self._store.list():
            yield from (entry["path"] for entry in entries)

    def read(self, path: str, limit: int) -> bytes:
        """Return an object; its size is known before it is fetched."""
        answer = self._store.get(path)
        return bytes(answer.bytes()) if answer.meta["size"] <= limit else too_large(path, limit)

    def write(self, place: str, files: Sequence[Path]) -> None:
        """Put the files there, one after the other."""
        for path in files:
            self._store.put(f"{place}/{path.name}", path)


class Folder(Objects):
    """A folder of this machine: no link leads out of it, and only regular files are read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._folder = Path(unquote(urlsplit(url).path))

    def read(self, path: str, limit: int) -> bytes:
        """Return a file."""
        return read_inside(self._folder, path, limit)
