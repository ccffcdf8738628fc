import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nelumbo.__main__ import COMMANDS, app, main
from tests import command_line

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import json, sys; from typer.testing import CliRunner; from nelumbo.__main__ import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "modules = {'torch', 'bentoml', 'onnxruntime', 'training.__main__', 'service.__main__'}\n"
        "print(json.dumps([result.exit_code, result.output, sorted(modules & set(sys.modules))]))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    exit_code, output, imported = json.loads(result.stdout)
    assert (exit_code, imported) == (0, [])
    assert all(f" {name} " in output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_its_own_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"], prog_name="nelumbo")
    assert result.exit_code == 0, result.output
    assert f"nelumbo {name}" in result.output


def test_a_near_miss_is_answered_with_what_was_meant() -> None:
    result = CliRunner().invoke(app, ["service"])
    assert result.exit_code == 2
    assert "'serve'" in result.output


def test_the_version_is_the_packages() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("nelumbo ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--data", "nowhere"),
        ("inspect", "nowhere.onnx"),
        ("export", "nowhere", "--name", "x"),
        ("serve", "--models", "nowhere"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = command_line.run(main, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("service",), ("serve", "--prot", "1"), ("train", "--minutes", "soon"), ("key",)]
)
def test_wrong_usage_is_one_sentence_of_the_same_style(arguments: tuple[str, ...]) -> None:
    done = command_line.run(main, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "--help" in done.stderr


def test_without_a_command_the_help_is_shown() -> None:
    done = command_line.run(main)
    assert done.returncode == 2
    assert "Usage: nelumbo" in done.stdout
    assert not done.stderr
