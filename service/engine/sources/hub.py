"""Models on the Hugging Face Hub, ``hf://owner/name`` or ``hf://owner/name@revision``.

A repository holds what ``export hub`` writes, a version in its root whose name and number are in ``config.json``, or
several in ``<name>/<version>/``.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from service.contract import MODEL_FILE, ContractError, read_bytes
from service.engine.sources.base import Source, SourceError, too_large

URL = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
CONFIG, MAX_CONFIG = "config.json", 2**20
SECONDS = 30  # for the Hub to say what a repository holds


class Hub(Source):
    """A repository; the token and the cache are those of huggingface_hub, and so is HF_ENDPOINT."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        if not (found := URL.fullmatch(url)):
            raise SourceError(f"{url}: give hf://owner/name or hf://owner/name@revision")
        from huggingface_hub import HfApi

        self._repository, self._revision = found[1], found[2] or "main"
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="nelumbo")
        self._sizes: dict[str, int] = {}  # of the repository's files
        self._prefix = ""

    def files(self) -> Iterator[str]:
        """Yield the files of the revision's commit, which are read of that commit."""
        info = self._api.model_info(self._repository, revision=self._revision, timeout=SECONDS, files_metadata=True)
        self._revision = info.sha or self._revision
        self._sizes = {one.rfilename: one.size or 0 for one in info.siblings or ()}
        if MODEL_FILE in self._sizes:
            self._prefix = f"{self._version()}/"
        yield from (f"{self._prefix}{file}" for file in self._sizes)

    def read(self, path: str, limit: int) -> bytes:
        """Return a file."""
        return self._get(path.removeprefix(self._prefix), limit)

    def _get(self, file: str, limit: int) -> bytes:
        if self._sizes.get(file, 0) > limit:
            too_large(file, limit)
        with tempfile.TemporaryDirectory() as folder:
            found = self._api.hf_hub_download(self._repository, file, revision=self._revision, local_dir=folder)
            return read_bytes(Path(found), limit)

    def _version(self) -> str:
        """Return ``<name>/<version>`` of the version in the root; raises SourceError."""
        try:
            config = json.loads(self._get(CONFIG, MAX_CONFIG)) if CONFIG in self._sizes else {}
            return f"{config['name']}/{int(config['version'])}"
        except (ContractError, ValueError, KeyError, TypeError) as error:
            what = f"{self.url} has no {CONFIG} that says name and version"
            raise SourceError(f"{what}; write the folder with: nelumbo export hub MODEL --out FOLDER") from error
