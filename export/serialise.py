"""A graph and its card as a model file."""

import onnx

from export.errors import ExportError
from service.contract import Card, ContractError
from service.contract.encoder import EncoderCard
from service.contract.graph import check, check_encoder


def serialise(model: onnx.ModelProto, card: Card | EncoderCard) -> bytes:
    """Return the file of a model or an encoder; raises ExportError where it would break the contract."""
    onnx.helper.set_model_props(model, card.to_metadata())
    data: bytes = model.SerializeToString(deterministic=True)
    try:
        (check_encoder if isinstance(card, EncoderCard) else check)(data, "the graph")
    except ContractError as error:
        raise ExportError(str(error)) from error
    return data
