"""The report: ``gpu.json`` and ``gpu.md``, written anew after each part."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu.setup import Row


class Result(NamedTuple):
    """What a part found, how long it took, and how it ended: ``done`` or a reason."""

    name: str
    title: str
    rows: list[Row]
    seconds: float
    end: str


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a part's file; a last line that was cut off is left out."""
    rows = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def write(out: Path, device: str, results: Iterable[Result]) -> None:
    """Write both files."""
    found = list(results)
    head: dict[str, Any] = {"device": device, "date": str(datetime.now(UTC).date())}
    _replace(out / "gpu.json", json.dumps(head | {"parts": [one._asdict() for one in found]}, indent=1))
    lines = [f"# Measured on {device}, {head['date']}", ""]
    if device == "cpu":
        lines += ["The parts ran on tiny models with the CPU as their device: that they run is all that this says.", ""]
    for one in found:
        lines += [f"## {one.title}", "", f"{one.end}, {one.seconds:.0f} s", "", *_tables(one.rows), ""]
    _replace(out / "gpu.md", "\n".join(lines))


def _tables(rows: list[Row]) -> Iterable[str]:
    """Yield the lines of a table with every column that a row has; the reason is the last."""
    columns = sorted(dict.fromkeys(name for row in rows for name in row), key="reason".__eq__)
    if rows:
        yield from (f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}")
    for row in rows:
        yield f"| {' | '.join(str(row.get(name, '')).replace('|', '/') for name in columns)} |"


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(text + "\n")
    part.replace(path)
