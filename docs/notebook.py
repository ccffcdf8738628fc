"""``python -m docs.notebook``: runs docs/nelumbo.ipynb, and writes what its cells show.

Jupyter would start a kernel, of some 25 packages, for seven cells. Here a cell is executed as Jupyter does it: what it
prints is shown, and then the value of its last line.
"""

import ast
import base64
import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "nelumbo.ipynb"


def execute(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook with the outputs of its cells made anew, in the folder docs/; raises what a cell raises."""
    names: dict[str, Any] = {}
    cells = []
    with contextlib.chdir(FOLDER):
        for number, cell in enumerate(notebook["cells"]):
            if cell["cell_type"] == "code":
                cell = cell | {"outputs": _run("".join(cell["source"]), names), "execution_count": number}
            cells.append(cell)
    return notebook | {"cells": cells}


def _run(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Execute a cell, and return its outputs in Jupyter's format."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "cell", "exec"), names)  # noqa: S102 (our own notebook)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
        )
    if value is not None:
        outputs.append({"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": _show(value)})
    return outputs


def _show(value: Any) -> dict[str, Any]:
    """Return what Jupyter shows of a value: an image as PNG, all else as text."""
    shown: dict[str, Any] = {"text/plain": [repr(value)]}
    if png := getattr(value, "_repr_png_", lambda: None)():
        shown |= {"image/png": base64.b64encode(png).decode(), "text/plain": [f"<{value.width}×{value.height} image>"]}
    return shown


if __name__ == "__main__":
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    made = execute(json.loads(NOTEBOOK.read_text()))
    NOTEBOOK.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
