"""Several PNGs in one answer: as JSON, or as a zip."""

import base64
import io
import json

from service.engine.requests import RenderRequest
from service.formats import archives
from service.formats.archives import Sample


def to_json(request: RenderRequest, pngs: list[bytes]) -> bytes:
    """Return a JSON object with the model, and each PNG in base64 with its seed and class."""
    data = [
        {
            "index": i,
            "seed": request.seed_of(i),
            "class": request.class_of(i),
            "b64_json": base64.b64encode(data).decode(),
        }
        for i, data in enumerate(pngs)
    ]
    model = request.model
    drawn_with = {"truncation": request.truncation, "directions": request.amounts()}
    return json.dumps({"model": model.ref, "digest": model.digest, **drawn_with, "data": data}).encode()


def to_zip(request: RenderRequest, pngs: list[bytes]) -> bytes:
    """Return a zip with a file for each image."""
    file = io.BytesIO()
    archives.write_zip(file, [Sample(name, data, {}) for name, data in zip(request.names(), pngs, strict=True)])
    return file.getvalue()
