"""A folder for the Hugging Face Hub: a card with front matter, the model, its encoder and a run's weights.

The front matter is written as JSON values, which YAML includes: no library is needed for it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.store import digests_of
from service.contract import DIGEST_FILE, MODEL_FILE, Card
from service.contract.encoder import ENCODER_FILE
from service.contract.files import MAX_README, README, leads_inside, read_inside, read_verified

CONFIG, WEIGHTS = "config.json", "weights.safetensors"
TASK = "unconditional-image-generation"
# The identifiers that the Hub knows, of those that images and small models have; others are "other", with their name.
LICENCES = re.compile(
    r"apache-2\.0|mit|bsd-[23]-clause|cc0-1\.0|cc-by-[234]\.0|cc-by-sa-[34]\.0|cc-by-nc-[234]\.0|cc-by-nd-4\.0"
    r"|cc-by-nc-nd-[34]\.0|cc-by-nc-sa-[234]\.0|agpl-3\.0|gpl-[23]\.0|lgpl-3\.0|mpl-2\.0|unlicense"
)
USE = """## Use it

    pip install 'nelumbo[hub]'
    nelumbo serve --models hf://OWNER/NAME

or without Nelumbo:

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
inputs = {{
{inputs}
}}
(images,) = session.run(None, inputs)  # uint8 (1, {height}, {width}, {channels})
```
"""


def files_of_model(folder: Path) -> dict[str, bytes]:
    """Return the files of a version that belong on the Hub; raises ContractError where one is not sound."""
    files = {MODEL_FILE: read_verified(folder).data}
    if (folder / ENCODER_FILE).exists():
        files[ENCODER_FILE] = read_verified(folder, ENCODER_FILE).data
    if (folder / README).exists() and leads_inside(folder, README):
        files[README] = read_inside(folder, README, MAX_README)
    return files


def complete(files: Mapping[str, bytes], card: Card) -> dict[str, bytes]:
    """Add the front matter, ``config.json`` and the digests to files."""
    text = files[README].decode(errors="replace") if README in files else describe(card)
    listed = {name: data for name, data in files.items() if name != README}  # people edit the card
    listed[CONFIG] = json.dumps(card.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2).encode()
    readme = f"{front_matter(card, WEIGHTS in files)}\n{text.rstrip()}\n\n{_use(card)}"
    return {README: readme.encode(), **listed, DIGEST_FILE: digests_of(listed)}


def front_matter(card: Card, weights: bool) -> str:
    """Return what the Hub reads of a card: licence, task, tags, and figures."""
    tags = ["onnx", "gan", card.objective, *(["safetensors"] if weights else [])]
    about: dict[str, Any] = {
        **_licence(card.licence),
        "library_name": "nelumbo",
        "pipeline_tag": TASK,
        "tags": [*tags, *(["class-conditional"] if card.classes else [])],
    }
    if card.metrics:
        about["model-index"] = [{"name": card.name, "results": [_results(card)]}]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in about.items()]
    return "\n".join(["---", *lines, "---", ""])


def _licence(name: str) -> dict[str, str]:
    identifier = re.sub(r"\s+", "-", re.sub(r"\(.*\)$", "", name).strip()).lower()  # without a remark in brackets
    if LICENCES.fullmatch(identifier):
        return {"license": identifier}
    return {"license": "unknown"} if identifier == "unspecified" else {"license": "other", "license_name": name}


def _results(card: Card) -> dict[str, Any]:
    data = card.dataset.name
    return {
        "task": {"type": TASK},
        "dataset": {"name": data, "type": re.sub(r"[^\w.-]+", "-", data.lower()) or "images"},
        "metrics": [{"type": one.name, "name": one.name, "value": one.value} for one in card.metrics],
    }


def describe(card: Card) -> str:
    """Return a description in Markdown, for a model that has none."""
    rows = {
        "images": f"{card.dataset.name}: {card.dataset.count:,}, {card.dataset.licence}",
        "licence of the weights": card.licence,
        "recipe": f"{card.recipe}, {card.objective}",
        "images seen": f"{card.images_seen:,}",
        "classes": ", ".join(card.classes),
        "directions": ", ".join(direction.name for direction in card.directions),
        **{one.name: f"{one.value:g}, over {one.samples:,} samples" for one in card.metrics},
    }
    table = "\n".join(f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items() if value)
    what = f"Images of {card.height}×{card.width} pixels, from a latent of {card.latent_dim} numbers."
    return f"# {card.name}, version {card.version}\n\n{what}\n\n| | |\n|---|---|\n{table}"


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", r"\|")


def _use(card: Card) -> str:
    z, k = card.latent_dim, len(card.directions)
    given = {
        "latent": f"np.random.RandomState(42).randn(1, {z}).astype(np.float32)",
        "label": "np.zeros(1, np.int64)",
        "truncation": f"np.full(1, {card.default_truncation}, np.float32)",
        "directions": f"np.zeros((1, {k}), np.float32)",
    }
    inputs = "\n".join(f'    "{name}": {given[name]},' for name in card.inputs())
    return USE.format(inputs=inputs, height=card.height, width=card.width, channels=card.channels)
