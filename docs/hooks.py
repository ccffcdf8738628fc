"""What mkdocs does besides: pages that stand outside of docs/ get a place in the site, and links to them follow.

Links are written so that they lead somewhere in the repository; a file of docs/ stands at the top of the site, and any
other where it stands in the repository.
"""

import logging
import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
    *("load_tests/README.md", "training/pretrained/README.md", "models/*/*/README.md"),
)
LINK = re.compile(r"(\]\()([^)\s]+)(?=\))")
logger = logging.getLogger("mkdocs.hooks")
elsewhere: set[str] = set()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside of docs/."""
    for path in (path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let every link lead to the same file in the site that it leads to in the repository."""
    here = page.file.src_uri

    def follow(found: re.Match[str]) -> str:
        parts = urlsplit(found[2])
        if parts.scheme:
            elsewhere.add(found[2])
        if parts.scheme or not parts.path:
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(_in_repository(page.file)), parts.path))
        moved = posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(here) or ".")
        return f"{found[1]}{parts._replace(path=moved).geturl()}"

    return LINK.sub(follow, markdown)


def on_post_build(**_: object) -> None:
    """List the links to other hosts: nobody has followed them."""
    for link in sorted(elsewhere):
        logger.info("Not followed: %s", link)


def _in_repository(file: File) -> str:
    return file.src_uri if file.src_dir == str(ROOT) else f"docs/{file.src_uri}"
