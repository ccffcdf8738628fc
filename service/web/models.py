"""``GET /models``: the models that are served, with their cards."""

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from service.contract import Card
from service.engine.model import Determinism, Model
from service.engine.renderer import Renderer
from service.web.schemas import find_model


class EncoderSummary(BaseModel):
    """How near an encoder's estimates are: mean differences of a pixel, in levels of 0 to 255."""

    model_config = ConfigDict(from_attributes=True)

    error: float = Field(description="between samples and what is drawn of the latents that it estimates of them")
    unrelated: float = Field(description="between samples that have nothing to do with each other")
    samples: int = Field(description="how many were compared")


class ModelSummary(Card):
    """A model that is served: its card, and how it is served."""

    digest: str = Field(description="SHA-256 of the model file, in hexadecimal")
    provider: str = Field(description="the execution provider that runs it")
    deterministic: Determinism = Field(description="whether a seed draws the same bytes, or bytes close to them")
    thumbnail: str = Field(description="path of a sheet of its first seeds")
    encoder: EncoderSummary | None = Field(description="of the encoder that POST /invert uses; null: there is none")


class ModelDescription(ModelSummary):
    """All about one model."""

    versions: list[int] = Field(description="the versions of it that are served, the newest first")
    readme: str | None = Field(description="the README.md beside it, in Markdown; at most 64 KiB")


class ModelList(BaseModel):
    """The models that are served, by name, each with its newest version first, and which is the default."""

    models: list[ModelSummary]
    default: str = Field(description="the model that draws where a request names none", examples=["digits@1"])
    withdrawn: list[str] = Field(description="why each model that crashed workers is served no more")


class ModelRoutes:
    """The handlers."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def list(self, _: Request) -> Response:
        """List the models that are served."""
        library = self._renderer.library
        summaries = [ModelSummary.model_validate(_summary(model)) for model in library]
        return _json(ModelList(models=summaries, default=library.default, withdrawn=[*library.withdrawn]))

    async def one(self, request: Request) -> Response:
        """Describe one model."""
        library = self._renderer.library
        model = find_model(library, request.path_params["model"])
        more = {"versions": library.versions(model.card.name), "readme": model.readme}
        return _json(ModelDescription.model_validate(_summary(model) | more))


def _summary(model: Model) -> dict[str, object]:
    thumbnail = f"/models/{model.ref}/thumbnail.png"
    served = {"digest": model.digest, "provider": model.provider, "deterministic": model.deterministic}
    return (
        model.card.model_dump(by_alias=True)
        | served
        | {"thumbnail": thumbnail, "encoder": model.encoder and model.encoder.card}
    )


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")
