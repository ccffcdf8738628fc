"""A graph and its card as a model file."""

import onnx

from export.errors import ExportError
from service.contract import Card, ContractError
from service.contract.graph import check


def serialise(model: onnx.ModelProto, card: Card) -> bytes:
    """Return the model file; raises ExportError where it would break the contract."""
    onnx.helper.set_model_props(model, card.to_metadata())
    data: bytes = model.SerializeToString(deterministic=True)
    try:
        check(data, "the graph")
    except ContractError as error:
        raise ExportError(str(error)) from error
    return data
