"""``python -m deploy.release``: what a release publishes, of the commit that is checked out, into ``dist/``.

- the wheel;
- for each container image an SBOM (CycloneDX 1.6): the packages of its lock with the digests that they may have, and
  the models;
- ``SHA256SUMS``, the list of these files that is signed (docs/deploy.md).

Nothing depends on the time or the place of the build: two builds of a commit with the same tools are the same bytes.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from deploy.container.add_models import add

ROOT = Path(__file__).parents[1]
TARGETS = ("cpu", "openvino", "cuda")  # of the Dockerfile
SUMS = "SHA256SUMS"


def git(*arguments: str) -> bytes:
    """Return what git prints of the repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603, S607


def check_out(folder: Path) -> None:
    """Write the committed files into a folder: what is not committed, such as an old build/, is in no release."""
    with tarfile.open(fileobj=BytesIO(git("archive", "HEAD"))) as archive:
        archive.extractall(folder, filter="data")


def build_wheel(source: Path, out: Path, seconds: str) -> None:
    """Build the wheel with the setuptools of this environment; ``seconds`` is the time of its files."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    environment = os.environ | {"SOURCE_DATE_EPOCH": seconds}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603


def write_sbom(source: Path, out: Path, target: str, seconds: str) -> None:
    """Write the SBOM of a container image from its lock."""
    version = tomllib.loads((source / "pyproject.toml").read_text())["project"]["version"]
    path = out / f"nelumbo-{version}-{target}.cdx.json"
    options = ["--pyproject", "pyproject.toml", "--output-reproducible", "--no-validate"]  # a test validates
    lock = f"deploy/container/{target}.txt"
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", *options, "-o", path, lock]
    environment = os.environ | {"SOURCE_DATE_EPOCH": seconds}
    subprocess.run(command, cwd=source, check=True, env=environment)  # noqa: S603
    add(path, source / "models")


def write_sums(out: Path) -> None:
    """Write the SHA-256 of every file of the folder, as ``sha256sum --check`` reads it."""
    files = sorted(path for path in out.iterdir() if path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (out / SUMS).write_text("".join(lines))


def release(out: Path, targets: Sequence[str] = TARGETS) -> None:
    """Fill a folder, which must be empty or missing, with the files of a release; an SBOM for each target."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        sys.exit(f"{out} is not empty: remove what an earlier release left there")
    seconds = git("log", "-1", "--format=%ct").decode().strip()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        check_out(source)
        build_wheel(source, out, seconds)
        for target in targets:
            write_sbom(source, out, target, seconds)
    write_sums(out)
    print(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


if __name__ == "__main__":
    release(ROOT / "dist")
