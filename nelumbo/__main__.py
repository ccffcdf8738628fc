"""The command ``nelumbo``: the command lines of training, export and service under one name.

A command's module is imported when it runs: serving needs no torch, and ``nelumbo --help`` needs neither.
"""

import sys
from importlib import import_module, metadata
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from export.errors import ExportError
from service.contract import ContractError
from service.errors import ServiceError
from training.errors import TrainingError


class Source(NamedTuple):
    """Where a command comes from: a module's Typer app, and the command's name there (None: the app itself).

    ``others`` are commands of that app that the first argument may name instead: ``nelumbo export hub``.
    """

    module: str
    command: str | None
    summary: str
    others: tuple[str, ...] = ()

    def load(self, other: str | None = None) -> Any:
        """Import the module, and return the command."""
        found: Any = typer.main.get_command(import_module(self.module).app)
        command = other or self.command
        return found if command is None else found.commands[command]


COMMANDS = {
    "serve": Source("service.__main__", None, "Serve the models over HTTP."),
    "generate": Source("service.__main__", "generate", "Draw images without a server."),
    "train": Source("nelumbo.train_and_serve", None, "Train a generator on a folder of images."),
    "sample": Source("training.__main__", "sample", "Draw a grid of a run's latest generator."),
    "evaluate": Source("training.__main__", "evaluate", "Score a generator's samples against real images."),
    "recipes": Source("training.__main__", "recipes", "List the recipes."),
    "data": Source("training.__main__", "data", "Fetch data sets."),
    "export": Source("export.__main__", "onnx", "Export a run's generator to a model file, or export hub.", ("hub",)),
    "weights": Source("export.__main__", "weights", "Save a run's networks for other runs to start from."),
    "upgrade": Source("export.__main__", "upgrade", "Add directions and truncation to a model file."),
    "directions": Source("export.__main__", "directions", "Draw and name a model's directions."),
    "refine": Source("export.__main__", "refine", "Let a model's truncation lead to more real images."),
    "optimize": Source("export.__main__", "optimize", "Rewrite a model file for a provider."),
    "inspect": Source("export.__main__", "inspect", "Check a model file and print its card."),
    "key": Source("service.__main__", "key", "Make an API key."),
}


class LazyCommand(TyperCommand):
    """A command with a summary for the list of commands, which is loaded when its arguments are parsed."""

    def __init__(self, name: str, source: Source) -> None:
        super().__init__(name, help=source.summary, callback=None)
        self._source = source

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **kwargs: Any) -> Any:
        """Load the command, and let it parse its arguments."""
        other = args[0] if args and args[0] in self._source.others else None
        name, given = (f"{info_name} {other}", args[1:]) if other else (info_name, args)
        return self._source.load(other).make_context(name, given, *rest, **kwargs)


class Commands(TyperGroup):
    """The commands of :data:`COMMANDS`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.commands = {name: LazyCommand(name, source) for name, source in COMMANDS.items()}


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"nelumbo {metadata.version('nelumbo')}")
        raise typer.Exit


@app.callback()
def nelumbo(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From a folder of images to an image generator behind HTTP."""


def main() -> NoReturn:
    """Run the command line: 0 done, 1 failed, 2 wrong usage or input, 130 stopped by the user."""
    try:
        result = app(prog_name="nelumbo", standalone_mode=False)
    except ContractError as error:
        print(f"error: {error.line}", file=sys.stderr)
        sys.exit(2)
    except (ExportError, ServiceError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 2))
    except typer.TyperException as error:  # wrong usage
        if sentence := _sentence(error):
            print(sentence, file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)  # of typer.Exit


def _sentence(error: typer.TyperException) -> str:
    """Return what is wrong with the usage, and where to read about it; nothing where the help was shown instead."""
    if not (said := error.format_message()):
        return ""
    context = getattr(error, "ctx", None)
    return f"error: {said.rstrip('.')}" + (f"; see {context.command_path} --help" if context else "")


if __name__ == "__main__":
    main()
