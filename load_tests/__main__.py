"""``python -m load_tests``: start a server on a free port, run Locust's users on it, and write a report."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load_tests.shapes import SHAPES
from tests.e2e.server import ROOT, serving

REPORTS = ROOT / "load_tests" / "reports"


def main() -> int:
    """Run a shape, and return Locust's exit code."""
    parser = argparse.ArgumentParser(prog="python -m load_tests", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="ramp")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a folder for the report")
    asked = parser.parse_args()
    out = asked.out or REPORTS / f"{asked.shape}-{time.strftime('%Y%m%d-%H%M%S')}"
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "log", models=asked.models.absolute(), workers=asked.workers) as server,
    ):
        code = subprocess.run(locust(server.url, asked.shape, out), cwd=ROOT).returncode
    print(f"Report: {out / 'report.html'}")
    return code


def locust(url: str, shape: str, out: Path) -> list[str]:
    """Return the command that runs a shape on a server and leaves its report in a folder."""
    report = ["--html", str(out / "report.html"), "--csv", str(out / "report")]
    what = ["-f", "load_tests/locustfile.py", "--headless", "--only-summary", "--shape", shape, "--host", url]
    return [sys.executable, "-m", "locust", *what, *report]


if __name__ == "__main__":
    sys.exit(main())
