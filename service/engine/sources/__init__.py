"""Models from elsewhere: ``s3://…``, ``https://…``, ``hf://…`` or ``oci://…`` in place of a folder.

``registry`` knows the schemes, ``mirrors`` keeps a checked copy of a source in a folder, and the other modules are a
kind of source each.
"""

from service.engine.sources.base import SourceError
from service.engine.sources.mirrors import cache_of, mirror, publish
from service.engine.sources.registry import EXAMPLES, SCHEMES, is_url, scheme_of

__all__ = ["EXAMPLES", "SCHEMES", "SourceError", "cache_of", "is_url", "mirror", "publish", "scheme_of"]
