"""docs/architecture.svg says which room imports which; here it is held against the imports."""

import ast
import functools
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from docs.tables import BASE, ROOMS

ROOT = Path(__file__).parents[1]
PACKAGES = ("training", "export", "service", "nelumbo")
MAX_LINES, MAX_FUNCTION = 300, 50
DRAWING = ET.parse(ROOT / "docs" / "architecture.svg").getroot()
Graph = dict[str, set[str]]


def modules(packages: tuple[str, ...] = PACKAGES) -> dict[str, Path]:
    """Return every module's file, by name."""
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of ours that a file imports, at its head or in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                found = f"{node.module}.{alias.name}"
                yield from [found] if found in known else [node.module or ""]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@functools.cache
def graph() -> Graph:
    """Return which of our modules each of them imports."""
    known = modules()
    return {name: {one for one in imported(path, known) if one in known} - {name} for name, path in known.items()}


def room(module: str) -> str:
    """Return the room of a module of service/: its package or, at the top, its own name."""
    name = module.split(".")[1]
    return "base" if name in BASE else name


def between_rooms() -> Graph:
    edges: Graph = defaultdict(set)
    for module, others in graph().items():
        for other in others:
            if module.startswith("service.") and other.startswith("service.") and room(module) != room(other):
                edges[room(module)].add(room(other))
    return edges


def reach(start: str, edges: Graph) -> set[str]:
    found: set[str] = set()
    for other in edges.get(start, ()):
        found |= {other} | reach(other, edges)
    return found


def direct(edges: Graph) -> set[tuple[str, str]]:
    """Return the edges that do not follow from others (the transitive reduction)."""
    return {
        (one, other)
        for one, others in edges.items()
        for other in others
        if not any(other in reach(between, edges) for between in others - {other})
    }


def test_no_module_is_imported_by_what_it_imports() -> None:
    assert list(TopologicalSorter(graph()).static_order())  # raises CycleError with the cycle


def test_every_module_of_the_service_has_a_room() -> None:
    rooms = {room(name) for name in modules(("service",)) if name != "service"}
    assert rooms == set(ROOMS)


def test_no_import_runs_back_up() -> None:
    order = list(ROOMS)
    up = [
        (one, other)
        for one, others in between_rooms().items()
        for other in others
        if order.index(other) < order.index(one)
    ]
    assert not up, "these rooms import from above"
    below = list(BASE)
    for name in BASE:
        for module in modules(("service",)):
            if module == f"service.{name}" or module.startswith(f"service.{name}."):
                taken = {one.split(".")[1] for one in graph()[module] if one != "service"} - {name}
                assert taken <= set(below[below.index(name) + 1 :]), module


def test_the_drawing_has_every_room_and_every_arrow() -> None:
    rooms = {element.get("data-room") for element in DRAWING.iter() if element.get("data-room")}
    assert rooms == set(ROOMS)
    drawn = {
        (element.get("data-from"), element.get("data-to")) for element in DRAWING.iter() if element.get("data-from")
    }
    wanted = direct(between_rooms())
    assert drawn == wanted, f"docs/architecture.svg lacks {wanted - drawn} and has {drawn - wanted}"


def test_the_drawing_has_the_steps_of_the_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    steps = re.findall(r"^(\d+)\. ", page, re.MULTILINE)
    numbers = [element.text for element in DRAWING.iter() if element.get("class") == "step"]
    assert sorted(numbers, key=lambda number: int(number or 0)) == steps == [str(i + 1) for i in range(len(steps))]
    for path in re.findall(r"`((?:service|tests|docs)/[\w/.]+)`", page):
        assert (ROOT / path).exists(), path


def test_no_module_is_over_300_lines_and_no_function_over_50() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules().values()}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}
    functions = {name: count for path in modules().values() for name, count in lengths_of_functions(path)}
    assert {name: count for name, count in functions.items() if count > MAX_FUNCTION} == {}


def lengths_of_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1
