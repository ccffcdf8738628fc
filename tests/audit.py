"""``python -m tests.audit``: insecure code (bandit), leaked secrets (detect-secrets), vulnerabilities (pip-audit)."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.server import ROOT

PUBLISHED = r'"\S+\.gz": "[0-9a-f]{64}"'  # digests of public files
SHOWN = r'"image/png": "'  # images in a notebook


def main() -> int:
    """Run all three; the exit code is 1 if one finds something."""
    return int(any([code(), secrets(), dependencies()]))


def code() -> bool:
    """Return whether bandit finds something without a justification in place or in pyproject.toml."""
    found = run("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", "service", "training", "export")
    print(found.stdout if found.returncode else "bandit: nothing")
    return found.returncode != 0


def secrets() -> bool:
    """Return whether a file of the repository contains what looks like a key or password."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = leaks(ROOT, files)
    print("\n".join(found) or f"detect-secrets: nothing in {len(files)} files")
    return bool(found)


def leaks(folder: Path, files: Sequence[str]) -> list[str]:
    """Return a line for each secret in these files of a folder."""
    scanned = run("detect_secrets", "scan", "--exclude-lines", PUBLISHED, "--exclude-lines", SHOWN, *files, cwd=folder)
    results = json.loads(scanned.stdout)["results"]
    return [f"detect-secrets: {path}:{one['line_number']}: {one['type']}" for path in results for one in results[path]]


def dependencies() -> bool:
    """Return whether an installed package has a known vulnerability; without a database, print so and return false."""
    options = ("--local", "--skip-editable", "--progress-spinner", "off", "--timeout", "5", "--format", "json")
    try:
        found = run("pip_audit", *options, timeout=60)
        return holes(json.loads(found.stdout)["dependencies"])
    except (ValueError, subprocess.TimeoutExpired):
        print("pip-audit: its database is not reachable, skipped")
        return False


def holes(packages: list[dict[str, Any]]) -> bool:
    """Print what pip-audit has found, and what it could not ask about."""
    for package in packages:
        for hole in package.get("vulns", ()):
            repaired = ", ".join(hole["fix_versions"]) or "no version yet"
            print(f"pip-audit: {package['name']} {package['version']}: {hole['id']}, repaired in {repaired}")
    asked = [package for package in packages if "skip_reason" not in package]
    if asked:
        print(f"pip-audit: asked about {len(asked)} of {len(packages)} packages")
    else:
        print("pip-audit: its database is not reachable, skipped")
    return any(package.get("vulns") for package in packages)


def run(
    module: str, *arguments: str, cwd: Path = ROOT, timeout: float | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a tool of this environment."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)


if __name__ == "__main__":
    sys.exit(main())
