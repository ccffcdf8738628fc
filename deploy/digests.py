"""``python -m deploy.digests``: pin every image that we name by the digest that its tag has in its registry.

A tag may be moved to another image; a digest cannot. The tag stays beside the digest, for people and for the next
renewal. skopeo asks the registry, with the credentials of ``skopeo login`` or ``docker login``. For a tag of several
platforms, the digest is that of their index, so that one reference serves all of them.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = (ROOT / "Dockerfile", *sorted((ROOT / "deploy" / "kubernetes").rglob("kustomization.yaml")))
DIGEST = "sha256:[0-9a-f]{64}"
SECONDS = 60  # for one registry to answer

# How a file names an image; where there is no digest yet, it comes at the end of the match.
DOCKERFILE = re.compile(rf"^ARG BASE=(?P<name>\S+?):(?P<tag>[\w.-]+)(?:@(?P<digest>{DIGEST}))?$", re.MULTILINE)
KUSTOMIZATION = re.compile(
    rf"^(?P<indent> +)newName: (?P<name>\S+)\n +newTag: \"?(?P<tag>[\w.-]+)\"?(?:\n +digest: (?P<digest>{DIGEST}))?$",
    re.MULTILINE,
)


class RegistryError(Exception):
    """A registry did not say which digest a tag has."""


def look_up(image: str, *, plain_http: bool = False) -> str:
    """Return the digest, ``sha256:…``, that ``name:tag`` has in its registry; raises RegistryError."""
    options = ["--tls-verify=false"] if plain_http else []
    command = ["skopeo", f"--command-timeout={SECONDS}s", "inspect", "--raw", *options, f"docker://{image}"]
    try:
        manifest = subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603  # no shell
    except FileNotFoundError as error:
        raise RegistryError("skopeo is not installed") from error
    except subprocess.CalledProcessError as error:
        raise RegistryError(_reason(error.stderr.decode())) from error
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def _reason(log: str) -> str:
    """Return what skopeo's log line, ``time=… level=… msg="…"``, says went wrong."""
    found = re.search(r'msg="(.*)"', log)
    return found[1].replace(r"\"", '"') if found else log.strip()


def pinned(text: str, found: re.Match[str], digest: str) -> str:
    """Return a file's text with this digest for the image that was found in it."""
    if found["digest"]:
        start, end = found.span("digest")
        return text[:start] + digest + text[end:]
    before = "@" if found.re is DOCKERFILE else f"\n{found['indent']}digest: "
    return text[: found.end()] + before + digest + text[found.end() :]


def renew(path: Path, *, check: bool, plain_http: bool) -> bool:
    """Pin every image of a file; with ``check``, only compare. Returns whether every digest is that of its tag."""
    pattern = DOCKERFILE if path.name == "Dockerfile" else KUSTOMIZATION
    text, right, where = path.read_text(), True, os.path.relpath(path)
    for found in reversed(list(pattern.finditer(text))):  # from the end, so that earlier positions stay
        image = f"{found['name']}:{found['tag']}"
        try:
            digest = look_up(image, plain_http=plain_http)
        except RegistryError as error:
            print(f"{where}: {image} stays as it is, as its digest could not be looked up: {error}", file=sys.stderr)
            right = False
            continue
        if digest == found["digest"]:
            continue
        print(f"{where}: {image} is {digest}, not {found['digest'] or 'pinned'}")
        if check:
            right = False
        else:
            text = pinned(text, found, digest)
    if not check and text != path.read_text():
        path.write_text(text)
    return right


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew the digests of the files; 1 where a digest could not be looked up or, with --check, is an old one."""
    parser = argparse.ArgumentParser(prog="python -m deploy.digests", description="Pin images by their digests.")
    parser.add_argument("files", nargs="*", type=Path, help="default: the Dockerfile and every kustomization.yaml")
    parser.add_argument("--check", action="store_true", help="change no file; fail where a digest is not its tag's")
    parser.add_argument("--plain-http", action="store_true", help="ask registries without TLS, such as one on loopback")
    given = parser.parse_args(arguments)
    files = given.files or FILES
    right = [renew(path, check=given.check, plain_http=given.plain_http) for path in files]
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main())
