"""The card of an ``encoder.onnx``: it maps ``image`` uint8 (N, H, W, C) to ``latent`` float32 (N, Z).

It lies beside the ``model.onnx`` whose latents it estimates, with a line of its own in the digest file.
"""

import json

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.contract.card import OUTPUT, Text, as_line
from service.contract.inputs import INPUT, Input
from service.contract.refusals import ContractError, Refusal

ENCODER_FILE = "encoder.onnx"
KIND = "encoder"  # what tells its metadata from those of a generator


class EncoderCard(BaseModel):
    """What an encoder says of itself; one ``metadata_props`` entry a field.

    Attributes:
        source: digest of the model.onnx whose latents it estimates.
        error: mean difference of a pixel, in levels of 0 to 255, between samples of the model and what it draws of the
            latents that the encoder estimates of them.
        unrelated: the same between samples that have nothing to do with each other.
        samples: how many were compared.
        images_seen: how many samples it was trained on.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str = Field(KIND, pattern=f"^{KIND}$")
    source: Text
    latent_dim: int = Field(ge=1, le=4096)
    height: int = Field(ge=1, le=1024)
    width: int = Field(ge=1, le=1024)
    channels: int
    error: float = Field(ge=0, allow_inf_nan=False)
    unrelated: float = Field(ge=0, allow_inf_nan=False)
    samples: int = Field(ge=1)
    images_seen: int = Field(ge=0)
    date: Text

    def inputs(self) -> dict[str, Input]:
        """Return the inputs of the graph by name."""
        return {OUTPUT: Input("uint8", (self.height, self.width, self.channels))}

    def outputs(self) -> dict[str, Input]:
        """Return the outputs of the graph by name."""
        return {INPUT: Input("float32", (self.latent_dim,))}

    def to_metadata(self) -> dict[str, str]:
        """Return the card as ONNX ``metadata_props``."""
        fields = self.model_dump(mode="json")
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}


def read_encoder_card(metadata: dict[str, str], where: str) -> EncoderCard:
    """Return the card that ``metadata_props`` hold; raises ContractError that starts with ``where``."""
    try:
        return EncoderCard.model_validate(metadata)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        sentence = f"{where} has bad metadata: {as_line(field)}: {as_line(first['msg'])}"
        raise ContractError(Refusal.BAD_CARD, sentence) from error
