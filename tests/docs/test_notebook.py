"""docs/nelumbo.ipynb: its cells run, and show what is committed."""

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from docs.notebook import NOTEBOOK, execute


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


def pixels(output: dict[str, Any]) -> np.ndarray:
    data = base64.b64decode(output["data"]["image/png"])
    return np.asarray(Image.open(io.BytesIO(data)), np.int16)


def test_the_cells_run_and_show_what_is_committed() -> None:
    committed = json.loads(NOTEBOOK.read_text())
    was, now = outputs(committed), outputs(execute(committed))
    assert [one.get("text") for one in was] == [one.get("text") for one in now]
    assert [one.get("data", {}).get("text/plain") for one in was] == [
        one.get("data", {}).get("text/plain") for one in now
    ]
    pictures = [pair for pair in zip(was, now, strict=True) if "image/png" in pair[1].get("data", {})]
    assert len(pictures) >= 4
    for before, after in pictures:  # another processor may round a pixel differently
        assert np.abs(pixels(before) - pixels(after)).max() <= 1
