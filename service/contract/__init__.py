"""What a model file promises: the one thing that passes from export/ to service/.

``model.onnx`` is a single file that maps ``latent`` float32 (N, Z) to ``image`` uint8 (N, H, W, C) and carries a
:class:`Card` in its ``metadata_props``. A file of schema 2 takes more, as its card says: ``label`` int64 (N,),
``truncation`` float32 (N,), ``directions`` float32 (N, K). Beside it, ``sha256`` holds its digest in the format of
``sha256sum -c``. A ``model.openvino.onnx`` beside it is the same for one provider, and has a :class:`Rewrite` in its
card.

This package imports no onnx, which takes 0.3 s: a worker of the server does without. ``graph`` and what it imports do.
"""

from service.contract.card import (
    OUTPUT,
    Card,
    Dataset,
    Metric,
    Rewrite,
    as_line,
)
from service.contract.files import (
    DIGEST_FILE,
    MAX_BYTES,
    MODEL_FILE,
    ModelBytes,
    digest_of,
    leads_inside,
    read_bytes,
    read_verified,
)
from service.contract.inputs import DIRECTIONS, INPUT, LABEL, TRUNCATION, Direction, Input
from service.contract.refusals import ContractError, Refusal
from service.precision import Precision

__all__ = [
    "DIGEST_FILE",
    "DIRECTIONS",
    "INPUT",
    "LABEL",
    "MAX_BYTES",
    "MODEL_FILE",
    "OUTPUT",
    "TRUNCATION",
    "Card",
    "ContractError",
    "Dataset",
    "Direction",
    "Input",
    "Metric",
    "ModelBytes",
    "Precision",
    "Refusal",
    "Rewrite",
    "as_line",
    "digest_of",
    "leads_inside",
    "read_bytes",
    "read_verified",
]
