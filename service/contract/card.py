"""The card of a model file: what the file says of itself in its ``metadata_props``."""

import json
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    computed_field,
    field_validator,
)

from service.contract.inputs import (
    DIRECTIONS,
    INPUT,
    LABEL,
    MAX_TRUNCATION,
    TRUNCATION,
    Classes,
    Directions,
    Input,
)
from service.contract.refusals import ContractError, Refusal
from service.precision import Precision

SCHEMAS = ("1", "2")
SCHEMA_2 = ("classes", "truncation", "default_truncation", "directions")  # fields that schema 1 does not have
OUTPUT = "image"
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_TEXT = 200  # characters of one string; GET /models repeats each of them for every model
MAX_METRICS = 64
MAX_JSON = 2**17  # characters of one metadata entry before it is parsed: a thousand classes may take 70,000

Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Dataset(BaseModel):
    """The images that a model was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    licence: Text
    count: int = Field(ge=0)
    digest: Text


class Metric(BaseModel):
    """One figure of an evaluation, such as ``lenet-fd`` over 10,000 samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    value: float = Field(allow_inf_nan=False)  # JSON has no NaN, and GET /models is JSON
    samples: int = Field(ge=1)


class Rewrite(BaseModel):
    """How a model file that was rewritten for a provider differs from the file that it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Text
    precision: Precision
    source: Text  # digest of the model.onnx that it was made of
    largest_error: int = Field(ge=0, le=255)  # in levels of 0 to 255, against that file on the CPU provider
    mean_error: float = Field(allow_inf_nan=False)
    samples: int = Field(ge=1)
    device: Text  # the processor that was measured


def _from_json(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_JSON:
        raise ValueError(f"at most {MAX_JSON} characters")
    try:
        return json.loads(value) if isinstance(value, str) else value
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class Card(BaseModel):
    """All that a model file says of itself; one ``metadata_props`` entry a field."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    name: str = Field(pattern=NAME_PATTERN)
    version: int = Field(ge=1, lt=2**31)
    latent_dim: int = Field(ge=1, le=4096)
    height: int = Field(ge=1, le=1024)
    width: int = Field(ge=1, le=1024)
    channels: int
    recipe: Text
    objective: Text
    images_seen: int = Field(ge=0)
    dataset: Annotated[Dataset, BeforeValidator(_from_json)]
    metrics: Annotated[tuple[Metric, ...], Field(max_length=MAX_METRICS), BeforeValidator(_from_json)] = ()
    run: Text
    commit: Text
    date: Text
    licence: Text
    rewrite: Annotated[Rewrite | None, BeforeValidator(_from_json)] = None
    classes: Annotated[Classes, BeforeValidator(_from_json)] = Field(
        (), description="names, in the order of the numbers that the input label takes; empty: no such input"
    )
    truncation: bool = Field(False, description="whether there is an input truncation: a centre to truncate towards")
    default_truncation: float = Field(
        1.0, ge=0, le=MAX_TRUNCATION, description="the truncation where a request names none; 1 is off"
    )
    directions: Annotated[Directions, BeforeValidator(_from_json)] = Field(
        (), description="the directions of the input directions, in their order; empty: no such input"
    )

    @field_validator("default_truncation")
    @classmethod
    def _needs_truncation(cls, value: float, info: ValidationInfo) -> float:
        if value != 1 and not info.data.get("truncation"):
            raise ValueError("must be 1 without truncation")
        return value

    @computed_field(alias="schema")  # type: ignore[prop-decorator]
    @property
    def schema_number(self) -> int:
        """The schema: 2 where the graph has an input besides the latent."""
        return 2 if self.classes or self.truncation or self.directions else 1

    def inputs(self) -> dict[str, Input]:
        """Return the inputs of the graph by name, in their order."""
        found = {INPUT: Input("float32", (self.latent_dim,))}
        if self.classes:
            found[LABEL] = Input("int64")
        if self.truncation:
            found[TRUNCATION] = Input("float32")
        if self.directions:
            found[DIRECTIONS] = Input("float32", (len(self.directions),))
        return found

    def outputs(self) -> dict[str, Input]:
        """Return the outputs of the graph by name."""
        return {OUTPUT: Input("uint8", (self.height, self.width, self.channels))}

    def to_metadata(self) -> dict[str, str]:
        """Return the card as ONNX ``metadata_props``: strings as they are, all else as JSON."""
        unused = {name for name in SCHEMA_2 if getattr(self, name) == Card.model_fields[name].default}
        fields = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=unused)
        return {key: value if isinstance(value, str) else _to_json(value) for key, value in fields.items()}


def read_card(metadata: dict[str, str], where: str) -> Card:
    """Return the card that ``metadata_props`` hold; raises ContractError that starts with ``where``."""
    schema = metadata.get("schema")
    if schema is None or schema not in SCHEMAS:
        said = as_line(str(schema or "none"))
        reads = f"this version reads {' and '.join(SCHEMAS)}"
        raise ContractError(Refusal.BAD_CARD, f"{where} has metadata schema {said}, {reads}")
    unknown = SCHEMA_2 if schema == "1" else ()
    try:
        return Card.model_validate({key: value for key, value in metadata.items() if key not in unknown})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        sentence = f"{where} has bad metadata: {as_line(field)}: {as_line(first['msg'])}"
        raise ContractError(Refusal.BAD_CARD, sentence) from error


def as_line(text: str) -> str:
    """Return text that quotes a file as one printable line of at most 500 characters, so that it forges no log line."""
    return "".join(one if one.isprintable() else "?" for one in text[:500])
