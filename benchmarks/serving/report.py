"""What was measured: tables on the screen, JSON, a chart, and the part of docs/performance.md that they fill."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.serving import targets
from benchmarks.serving.speed import median, ratio
from benchmarks.serving.targets import BARE, Measured

HEADER = ("", "", "images/s", "median, ms", "95th", "99th", "CPU ms", "÷ bare loop")
MARKS = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- /measured -->)", re.DOTALL)
BAR, LINE, LEFT, WIDTH = 12, 18, 250, 400  # of the chart, pixels


class Report(NamedTuple):
    """A run of the benchmark."""

    machine: str
    measured: Measured
    workers: Sequence[tuple[int, float]]

    def tables(self) -> Iterable[tuple[Sequence[str], Sequence[Sequence[str]]]]:
        """Yield each table's header and rows."""
        yield HEADER, [self._row(what, how) for what, how in self.measured]
        yield ("target", "wanted", "measured", "met"), targets.rows(self.measured)
        yield (
            ("worker", "threads", "MiB"),
            [[str(i), str(threads), f"{memory:.0f}"] for i, (threads, memory) in enumerate(self.workers)],
        )

    def _row(self, what: str, how: str) -> list[str]:
        speed, share = median(self.measured[what, how]), self._share(what, how)
        return [what, how, f"{speed.rate:,.0f}", *(f"{ms:.2f}" for ms in speed[1:]), f"{share:.2f}" if share else ""]

    def _share(self, what: str, how: str) -> float | None:
        """Return how much of the bare loop's rate is left."""
        bare = self.measured.get((what, BARE))
        return ratio(self.measured[what, how], bare) if bare else None

    def json(self) -> str:
        """Return all of it, every turn."""
        rows = [
            {"what": what, "how": how, "turns": [turn._asdict() for turn in turns]}
            for (what, how), turns in self.measured.items()
        ]
        return json.dumps({"machine": self.machine, "workers": self.workers, "measured": rows}, indent=1)

    def chart(self) -> str:
        """Return an SVG of what is left of the bare loop's rate: a bar a measurement."""
        shares = [(f"{what}, {how}", share) for what, how in self.measured if (share := self._share(what, how))]
        bars = [
            f'<text x="{LEFT - 8}" y="{y + BAR}" text-anchor="end">{name}</text>'
            f'<rect x="{LEFT}" y="{y + 2}" width="{share * WIDTH:.0f}" height="{BAR}" fill="#4c8c6b"/>'
            f'<text x="{LEFT + share * WIDTH + 6:.0f}" y="{y + BAR}">{share:.2f}</text>'
            for y, (name, share) in zip(range(0, len(shares) * LINE, LINE), shares, strict=True)
        ]
        size = f'width="{LEFT + WIDTH + 80}" height="{len(shares) * LINE + 4}"'
        style = 'font-family="sans-serif" font-size="12" fill="#808080"'
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', *bars, "</svg>", ""])

    def show(self, console: Console) -> None:
        """Print the tables."""
        console.print(self.machine)
        for header, rows in self.tables():
            table = Table(*header)
            for row in rows:
                table.add_row(*row)
            console.print(table)

    def write(self, docs: Path) -> None:
        """Fill docs/performance.md, and write the chart and the JSON beside it."""
        page = docs / "performance.md"
        parts = [f"On {self.machine}:", *(_markdown(header, rows) for header, rows in self.tables())]
        filled, places = MARKS.subn(lambda _: "\n" + "\n\n".join(parts) + "\n\n", page.read_text())
        if places != 1:
            raise ValueError(f"{page} has no place between <!-- measured --> and <!-- /measured -->")
        page.write_text(filled)
        (docs / "serving.svg").write_text(self.chart())
        (docs / "serving.json").write_text(self.json() + "\n")


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
