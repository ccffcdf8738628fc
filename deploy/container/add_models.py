"""``add_models.py SBOM MODELS``: list the models of a folder in a CycloneDX SBOM of Python packages."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.contract.graph import read_model


def components(models: Path) -> Iterator[dict[str, Any]]:
    """Yield a CycloneDX 1.6 component for each ``<name>/<version>/model.onnx``; raises ContractError for a bad one."""
    for path in sorted(models.glob("*/*/model.onnx")):
        model = read_model(path.parent)
        card = model.card
        yield {
            "type": "machine-learning-model",
            "bom-ref": f"model-{card.name}-{card.version}",
            "name": card.name,
            "version": str(card.version),
            "hashes": [{"alg": "SHA-256", "content": model.digest}],
            "licenses": [{"license": {"name": card.licence}}],
            "modelCard": {"modelParameters": {"datasets": [{"type": "dataset", "name": card.dataset.name}]}},
        }


def add(sbom: Path, models: Path) -> None:
    """Add the models to an SBOM, in place."""
    document = json.loads(sbom.read_text())
    found = list(components(models))
    document["components"] += found
    document["dependencies"] += [{"ref": component["bom-ref"]} for component in found]
    sbom.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    add(*map(Path, sys.argv[1:]))
