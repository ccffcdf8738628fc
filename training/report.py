"""Write report.html: the samples, curves and settings of a run in one self-contained file."""

import base64
import html
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.metrics import meaning
from training.pictures import evenly_spaced
from training.plan import data_lines
from training.run import Run

EVALUATION, NEAREST = "evaluation.json", "evaluation-nearest.png"  # in the run folder


class Chart(NamedTuple):
    """A chart: its heading, up to two figures of log.jsonl, and what to look for."""

    heading: str
    names: tuple[str, ...]
    meaning: str


CHARTS = (
    Chart(
        "Losses",
        ("critic_loss", "generator_loss"),
        "Critic and generator play against each other, so neither falls to 0 in a good run; look for a jump, or "
        "for one that runs away.",
    ),
    Chart(
        "Scores",
        ("real_score", "fake_score"),
        "What the critic gives training images and samples; the closer, the harder it finds to tell them apart.",
    ),
    Chart(
        "Signs of the scores",
        ("real_sign", "fake_sign"),
        "1: the critic takes all for real, -1: for generated. With dcgan, training images at 1 throughout mean "
        "that it knows them by heart; with wgan-gp and r3gan only the difference of scores means something.",
    ),
    Chart("Gradient penalty", ("penalty",), "How steep the critic is at the images; a steady level is good."),
    Chart(
        "Diversity of the samples relative to training images",
        ("diversity",),
        "1: samples differ as much as training images do; near 0: all are alike. It sees colour and composition, "
        "not whether one face is varied; recall below does.",
    ),
    Chart("Grid", ("grid",), "1: no more of a checkerboard than in training images; visible from 1.5 on."),
    Chart("Frame", ("rim",), "1: no more of a frame than in training images; visible from 1.5 on."),
    Chart("Images per second", ("images_per_second",), "A drop means that something else used the machine."),
)
WIDTH, HEIGHT, POINTS = 480, 160, 400
STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1a; --paper: #fdfdfb; --line: #d5d5cf; --a: #b0124f; --b: #14649c }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e3; --paper: #161618; --line: #3a3a3d; --a: #ff7aa8; --b: #74bdf2 }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem;
  margin: 2rem auto; padding: 0 1rem }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .75rem; font-size: 14px }
img { width: 100%; image-rendering: pixelated }
figure { margin: 0 } figcaption { margin-top: .5rem }
.grid { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)) }
svg { width: 100%; height: auto } polyline { fill: none; stroke-width: 1.5 } .a { stroke: var(--a) }
.b { stroke: var(--b) } td, th { text-align: left; vertical-align: top; padding: .2rem .75rem .2rem 0; font-size: 14px }
rect { fill: none; stroke: var(--line) } text { fill: var(--ink); font-size: 12px }
span.a { color: var(--a) } span.b { color: var(--b) }
"""


def build(run: Run) -> str:
    """Return the report of a run folder as HTML; raises InputError if the folder is incomplete."""
    config, report = run.config(), run.report()
    log = run.path / "log.jsonl"  # missing if the run stopped before its first tick
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    seen = f"{rows[-1]['images']:,} images seen" if rows else "stopped before the first log line"
    folder = shlex.quote(str(run.path))
    parts = [
        f"<h1>{html.escape(run.path.name)}</h1><p>{seen}</p>",
        *_warnings(rows),
        '<div class="grid">',
        *_pictures(run.path),
        '</div><h2>Curves</h2><div class="grid">',
        *(_chart(chart, rows) for chart in CHARTS),
        "</div>",
        *_evaluation(run.path),
        "<h2>Data</h2>",
        _pre("\n".join(data_lines(report, config.recipe.images.size))),
        "<h2>Resume</h2>",
        _pre(f"nelumbo train --resume {folder}"),
        "<h2>Export</h2>",
        _pre(f"nelumbo export {folder} --name NAME"),
        "<h2>Configuration</h2>",
        _pre(config.model_dump_json(indent=2)),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{run.path.name}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(parts)}</body></html>'
    )


def _pre(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def _warnings(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    lines = [f"{row['images']:,} images: {warning}" for row in rows for warning in row.get("warnings", [])]
    if lines:
        yield f"<h2>Warnings</h2><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def _pictures(folder: Path) -> Iterator[str]:
    """Yield the training images, the latest samples and their timelapse as embedded figures."""
    fakes = sorted(folder.glob("fakes-*.png"))[-1:]
    named = [(folder / "reals.png", "Training images"), *((path, "Samples at the end") for path in fakes)]
    for path, caption in [*named, (folder / "timelapse.webp", "The same samples over time")]:
        yield from _picture(path, caption)


def _picture(path: Path, caption: str) -> Iterator[str]:
    if path.exists():
        data = base64.b64encode(path.read_bytes()).decode()
        source = f"data:image/{path.suffix[1:]};base64,{data}"
        yield f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _evaluation(folder: Path) -> Iterator[str]:
    """Yield the scores of evaluation.json with what each means, and the samples closest to training images."""
    path = folder / EVALUATION
    if not path.exists():
        return
    found = {figure["name"]: figure for figure in json.loads(path.read_bytes())}
    names = [name for name in found if not name.endswith(("-error", "-floor"))]
    scores = {name: _compared(name, found) for name in names}
    yield f"<h2>Evaluation</h2><p>Over {found[names[0]]['samples']:,} samples, against as many training images.</p><ul>"
    yield from (f"<li>{html.escape(sentence)}</li>" for sentence in meaning.sentences(scores))
    yield "</ul><table><tr><th></th><th>samples</th><th>real images</th><th>good</th><th></th></tr>"
    for name, score in scores.items():
        what = meaning.of(name) or meaning.Meaning("", "")
        error = f" ± {score.error:.2g}" if score.error else ""
        cells = (name, f"{score.value:.4g}{error}", f"{score.floor:.4g}", what.good, what.what)
        yield f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
    yield "</table>"
    yield from _picture(folder / NEAREST, "Samples closest to a training image, each beside it")


def _compared(name: str, found: dict[str, Any]) -> meaning.Compared:
    error, floor = (found.get(f"{name}-{kind}", {}).get("value", 0.0) for kind in ("error", "floor"))
    return meaning.Compared(found[name]["value"], error, floor)


def _chart(chart: Chart, rows: Sequence[dict[str, Any]]) -> str:
    """Return up to two curves over images seen as inline SVG; empty if the log has none of them."""
    curves = {name: [(row["images"], row[name]) for row in rows if name in row] for name in chart.names}
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    last = max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    scale = HEIGHT / ((high - low) or 1)
    lines = [
        f'<polyline class="{style}" points="'
        + " ".join(f"{x / last * WIDTH:.1f},{(high - y) * scale:.1f}" for x, y in evenly_spaced(curve, POINTS))
        + '"/>'
        for style, curve in zip("ab", curves.values(), strict=False)
    ]
    legend = " ".join(f'<span class="{style}">{name}</span>' for style, name in zip("ab", curves, strict=False))
    axis = (
        f'<text x="0" y="{HEIGHT + 16}">0</text><text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{last:,}</text>'
    )
    bounds = f'<text x="4" y="14">{high:.4g}</text><text x="4" y="{HEIGHT - 4}">{low:.4g}</text>'
    box = f'<rect width="{WIDTH}" height="{HEIGHT}"/>'
    drawing = f'<svg viewBox="-1 -1 {WIDTH + 2} {HEIGHT + 22}" role="img">{box}{"".join(lines)}{bounds}{axis}</svg>'
    caption = f"<strong>{chart.heading}</strong>: {legend}<br>{chart.meaning}"
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
