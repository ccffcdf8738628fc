import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.main import get_command

import benchmarks.fleet
import benchmarks.inversion
import benchmarks.judges
import benchmarks.one_hand
import benchmarks.openvino
import benchmarks.pictures
import benchmarks.serving.__main__
import benchmarks.signing
import benchmarks.snapshots
import benchmarks.stacked
import benchmarks.training
import export.__main__
import service.__main__
import training.__main__
from docs.tables import recipe
from nelumbo.__main__ import COMMANDS
from training import recipe as recipes

ROOT = Path(__file__).parents[2]
NAMED = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "load_tests/README.md")
PAGES = sorted([*(ROOT / name for name in NAMED), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("models/*/*/README.md")])
PACKAGES = (training.__main__, export.__main__, service.__main__)
MAINS = (
    benchmarks.fleet,
    benchmarks.inversion,
    benchmarks.judges,
    benchmarks.one_hand,
    benchmarks.openvino,
    benchmarks.pictures,
    benchmarks.serving.__main__,
    benchmarks.signing,
    benchmarks.snapshots,
    benchmarks.stacked,
    benchmarks.training,
)


def read(main: Callable[..., None]) -> Any:
    app = Typer()
    app.command()(main)
    return get_command(app)


PROGRAMS = {package.__package__: get_command(package.app) for package in PACKAGES}
PROGRAMS |= {module.__name__.removesuffix(".__main__"): read(module.main) for module in MAINS}
TARGETS = re.findall(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
FIELDS = {row[0].strip("`") for row in recipe()}


def commands(text: str, start: str) -> Iterator[list[str]]:
    """Find what is typed after ``start``, to the end of the line or of the `code`: its words."""
    for found in re.finditer(rf"{start}([^`\n]*)", text.replace("\\\n", " ")):
        yield re.sub(r" [#|>].*", "", found[1]).split()


def nelumbo(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command of ``nelumbo`` that these words begin with, and the words after it."""
    source, rest = COMMANDS[words[0]], words[1:]
    other = rest.pop(0) if rest and rest[0] in source.others else None
    return source.load(other), rest


def check_options(command: Any, words: list[str]) -> None:
    """Check that the command, or the subcommand that ``words`` begin with, has the options in ``words``."""
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_commands_options_recipes_and_fields_that_there_are(page: Path) -> None:
    text = page.read_text()
    for package, program in PROGRAMS.items():
        for words in commands(text, rf"python -m {package}\b"):
            check_options(program, words)
    for words in commands(text, r"(?m:^    |^|`)nelumbo (?=[a-z])"):
        check_options(*nelumbo(words))
    assert set(re.findall(r"--recipe ([\w-]+)(?![\w.-])", text)) <= set(recipes.names())
    assert set(re.findall(r"--set ['\"]?([a-z_.]+)=", text)) <= FIELDS
    for words in commands(text, r"(?m:^    |`)make "):
        assert words[0].rstrip(",") in TARGETS
