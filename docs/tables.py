"""The tables of docs/ that the code fills: ``python -m docs.tables`` writes each anew between its two lines.

A page holds ``<!-- table: settings -->`` … ``<!-- /table -->``; tests/docs hold the two together.
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.contract import Refusal
from service.engine.providers import registry
from service.formats.base import AnimationFormat, FilesFormat, ImageFormat
from service.formats.registry import FORMATS
from service.settings import FLAGS, Settings
from service.telemetry import metrics
from service.web.openapi import document
from service.web.problem_types import ProblemType
from training.metrics.meaning import MEANINGS
from training.metrics.tables import METRICS
from training.recipe import CHOICES, Recipe

FOLDER = Path(__file__).parent
SERVICE = FOLDER.parent / "service"
# The rooms of service/ from top to bottom: each may import from those below it. The last is several modules, of which
# each may import those after it.
ROOMS = ("__main__", "runtime", "service", "web", "bulk", "formats", "settings", "engine", "telemetry", "base")
BASE = ("keys", "contract", "precision", "memory", "cpus", "rlimit", "errors")
BETWEEN = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def settings() -> Iterator[list[str]]:
    """Every setting of the service."""
    yield ["variable", "option", "default", "what"]
    for name, field in Settings.model_fields.items():
        option = f"`{FLAGS[name]}`" if name in FLAGS else ""
        yield [f"`NELUMBO_{name.upper()}`", option, _default(field), field.description or ""]


def routes() -> Iterator[list[str]]:
    """Every route of the service."""
    yield ["route", "what", "answers", "other statuses"]
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            forms = [form for answer in answers.values() for form in answer.get("content", ()) if "problem" not in form]
            others = ", ".join(status for status in answers if status >= "300")
            yield [f"`{method.upper()} {path}`", operation["summary"], ", ".join(dict.fromkeys(forms)), others]


def formats() -> Iterator[list[str]]:
    """Every answer format."""
    yield ["`format`", "media type", "file", "several images", "most pixels a side", "marked with", "signed"]
    kinds = {
        ImageFormat: "tiled into one",
        AnimationFormat: "frames, `form` animation of `/interpolate` only",
        FilesFormat: "a PNG each",
    }
    for one in FORMATS:
        side = str(one.max_side or "")
        sign = {True: "each PNG" if isinstance(one, FilesFormat) else "yes", False: "no"}[one.c2pa_type is not None]
        row = [f"`{one.name}`", one.media_type, f".{one.extension}", kinds[type(one)], side, one.marking, sign]
        yield row


def problems() -> Iterator[list[str]]:
    """Every type of error."""
    yield ["type", "status", "what it means", "what to do"]
    for kind in ProblemType:
        yield [f"`{kind.slug}`", str(kind.status.value), kind.meaning, kind.remedy]


def refusals() -> Iterator[list[str]]:
    """Every type of refusal of a model file."""
    yield ["type", "why", "what to do"]
    for kind in Refusal:
        yield [f"`{kind.slug}`", kind.meaning, kind.remedy]


def rooms() -> Iterator[list[str]]:
    """Every room of the service."""
    yield ["room", "what is inside"]
    for name in ROOMS:
        inside = [f"`{one}`: {_first_line(one)}" for one in BASE] if name == "base" else [_first_line(name)]
        yield [f"`{name}`", " ".join(inside)]


def _first_line(room: str) -> str:
    """Return the first line of a room's docstring."""
    path = SERVICE / room / "__init__.py"
    module = ast.parse((path if path.exists() else SERVICE / f"{room}.py").read_text())
    return (ast.get_docstring(module) or "").splitlines()[0]


def measured() -> Iterator[list[str]]:
    """Every metric of the service."""
    yield ["metric", "kind", "labels", "what"]
    counted = [metric for metric in vars(metrics).values() if isinstance(metric, Counter | Gauge | Histogram)]
    families = [(family, metric._labelnames) for metric in counted for family in metric.describe()]
    families += [(family, _labels_of(family.name)) for family in metrics.ModelInfo([]).collect()]
    for family, labels in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        yield [f"`{name}`", family.type, ", ".join(labels), family.documentation]


def _labels_of(family: str) -> tuple[str, ...]:
    return metrics.MODEL_LABELS if family == "nelumbo_model_info" else ()


def recipe() -> Iterator[list[str]]:
    """Every field of a recipe, as --set names it; what it means stands behind it in the code."""
    yield ["field", "values", "default", "what"]
    yield from (row for row in _fields(Recipe) if row[0] != "`summary`")


def choices() -> Iterator[list[str]]:
    """Every entry of the registries that recipes and evaluation choose from."""
    yield ["field or option", "value", "what"]
    for field, table in {**CHOICES, "--metric": METRICS}.items():
        yield from ([f"`{field}`", f"`{name}`", table.description(name)] for name in table)


def figures() -> Iterator[list[str]]:
    """Every figure of an evaluation."""
    yield ["figure", "good", "what it is"]
    yield from ([f"`{name.replace('*', '…')}`", meaning.good, meaning.what] for name, meaning in MEANINGS.items())


def providers() -> Iterator[list[str]]:
    """Every provider that a model can run on."""
    yield ["`--provider`", "what brings it", "runs on", "precision", "a seed's bytes"]
    for provider in registry.PROVIDERS.values():
        bytes_are = "exact" if provider.exact else "approximate"
        yield [f"`{provider.name}`", provider.package, provider.runs_on, provider.precision, bytes_are]


TABLES = {
    "providers": providers,
    "settings": settings,
    "routes": routes,
    "formats": formats,
    "problems": problems,
    "refusals": refusals,
    "rooms": rooms,
    "metrics": measured,
    "recipe": recipe,
    "choices": choices,
    "figures": figures,
}


def fill(page: str) -> str:
    """Return a page with every table in it made anew."""
    return BETWEEN.sub(lambda found: f"{found[1]}\n{_markdown(TABLES[found[2]]())}\n{found[3]}", page)


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[list[str]]:
    comments = dict(re.findall(r"^    (\w+): .+?  # (.+)$", inspect.getsource(model), re.MULTILINE))
    for name, field in model.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{name}.")
        else:
            values = " or ".join(CHOICES.get(f"{prefix}{name}", ())) or _values(field.annotation)
            yield [f"`{prefix}{name}`", values, _default(field), comments.get(name, "")]


def _values(kind: Any) -> str:
    """Return the values of a type, for a person: ``none or batch``, ``number``."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"list of {_values(get_args(kind)[0])}"
    if parts := [part for part in get_args(kind) if part is not type(None)]:
        return _values(parts[0])
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}[kind]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "in every recipe"
    if field.default_factory is not None:
        return "worked out"
    if field.default in (None, "", ()):
        return "none"
    shown = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{shown}`"


def _markdown(rows: Iterable[list[str]]) -> str:
    head, *body = ([cell.replace("<", "&lt;").replace("|", "\\|") for cell in row] for row in rows)
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path in FOLDER.glob("*.md"):
        path.write_text(fill(path.read_text()))
