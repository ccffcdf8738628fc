"""The schemes of sources: the one table to which a new one is added."""

import re
from collections.abc import Callable
from typing import NamedTuple

from service.engine.sources.base import Source, SourceError, reason
from service.engine.sources.hub import Hub
from service.engine.sources.objects import Folder, Objects
from service.engine.sources.oci import Registry
from service.engine.sources.web import Web

URL = re.compile(r"([a-z][a-z0-9+.-]*)://\S*", re.ASCII)


class Scheme(NamedTuple):
    """How a scheme is read: what makes a source of a URL, the extra that it needs, and what it looks like."""

    open: Callable[[str], Source]
    extra: str
    example: str


SCHEMES = {
    "s3": Scheme(Objects, "remote", "s3://bucket/prefix"),
    "gs": Scheme(Objects, "remote", "gs://bucket/prefix"),
    "az": Scheme(Objects, "remote", "az://container/prefix"),
    "file": Scheme(Folder, "remote", "file:///folder"),
    "https": Scheme(Web, "remote", "https://host/folder"),
    "hf": Scheme(Hub, "hub", "hf://owner/name@revision"),
    "oci": Scheme(Registry, "oci", "oci://registry.example.com/name:tag"),
}

EXAMPLES = ", ".join(scheme.example for scheme in SCHEMES.values())


def is_url(text: str) -> bool:
    """Return whether a text is meant as a URL, not as a folder."""
    return URL.fullmatch(text) is not None


def scheme_of(url: str) -> Scheme:
    """Return how a URL is read; raises SourceError where nothing reads it."""
    found = URL.fullmatch(url)
    if found is None or found[1] not in SCHEMES:
        raise SourceError(f"{url} is no source of models; sources are {EXAMPLES}")
    return SCHEMES[found[1]]


def open_source(url: str) -> Source:
    """Return the source at a URL; raises SourceError."""
    scheme = scheme_of(url)
    try:
        return scheme.open(url)
    except ModuleNotFoundError as error:
        raise SourceError(f"{url} needs pip install 'nelumbo[{scheme.extra}]'") from error
    except SourceError:
        raise
    except Exception as error:  # the libraries' errors have no common ancestor but this
        raise SourceError(f"{url} cannot be opened: {reason(error)}") from error
