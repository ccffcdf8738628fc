"""Images under URLs that never change, so that a cache may keep them without revalidation."""

import functools
import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from importlib import metadata
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.engine import latents, onnx_runtime
from service.engine.model import Model
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.formats.base import AnswerFormat
from service.formats.c2pa import Signer
from service.formats.registry import image_formats, named
from service.web.conditions import find_conditions
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, Problem, invalid
from service.web.responder import Respond
from service.web.schemas import ImageQuery, find_model, read_query, validate

# Pages of any site may show an image in an <img>; they cannot read its pixels, and a browser sends no API key with it.
EMBEDDABLE = {"Cross-Origin-Resource-Policy": "cross-origin"}
CACHED = "max-age=31536000, immutable"  # a year, the most that is usual
ENCODING = 1  # raise it with a change of ours that encodes the same pixels as other bytes
THUMBNAILS = 16


class ImageRoutes:
    """The handlers.

    Args:
        renderer: whose models are asked for.
        respond: draws and answers.
        max_images: most images in one request.
        shared_caches: whether a cache may send one client's image to another; false if clients need API keys.
        signer: signs the images, if there is one.
    """

    def __init__(
        self, renderer: Renderer, respond: Respond, *, max_images: int, shared_caches: bool, signer: Signer | None
    ) -> None:
        self._renderer = renderer
        self._respond = respond
        self._samples = range(min(THUMBNAILS, max_images))
        self._cache_control = f"{'public' if shared_caches else 'private'}, {CACHED}"
        self._signer = signer.fingerprint if signer else ""
        _software()  # cached now, so that no request waits for it

    async def image(self, request: Request) -> Response:
        """Send the image of one seed."""
        model = find_model(self._renderer.library, request.path_params["model"])
        seed, answer_format = _read_file(request.path_params["file"])
        query: Any = validate(ImageQuery, read_query(request))
        more = {**find_conditions(model, query), "scale": query.scale, "resample": query.resample}
        if _is_pinned(request):
            return await self._send(RenderRequest(model, seeds=(seed,), **more), answer_format, request)
        return _redirect(request, model)

    async def thumbnail(self, request: Request) -> Response:
        """Send a sheet of a model's first seeds."""
        model = find_model(self._renderer.library, request.path_params["model"])
        if _is_pinned(request):
            drawing = RenderRequest(model, seeds=self._samples, truncation=model.card.default_truncation)
            return await self._send(drawing, named("png"), request)
        return _redirect(request, model)

    async def _send(self, drawing: RenderRequest, answer_format: AnswerFormat, request: Request) -> Response:
        etag = _etag(drawing, answer_format.extension, self._signer)
        headers = {"ETag": etag, "Cache-Control": self._cache_control, **EMBEDDABLE}
        if _matches(request.headers.getlist("if-none-match"), etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if request.method == "HEAD":
            response = Response(headers=headers, media_type=answer_format.media_type)
            del response.headers["content-length"]  # it would be that of the image, which is not drawn
            return response
        response = await self._respond(drawing, answer_format, request)
        del response.headers["vary"]  # the URL alone decides
        response.headers.update(headers)
        return response


def _etag(drawing: RenderRequest, extension: str, signer: str) -> str:
    """Return an ETag without drawing: a digest of everything that determines the image.

    It is weak (RFC 9110, section 8.8.1), as equal ETags do not promise equal bytes: another processor may round a pixel
    differently (docs/determinism.md), and each signature has a random number.
    """
    model = drawing.model
    drawn_with = (drawing.labels, drawing.truncation, drawing.amounts(), drawing.scale, drawing.resample)
    parts = (model.ref, model.digest, model.provider, drawing.seeds, *drawn_with, extension)
    text = "\n".join(map(str, (*parts, ENCODING, *_software(), signer)))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@functools.cache
def _software() -> tuple[str, ...]:
    """Return the versions of the packages that draw and encode; another version may give other bytes."""
    runtime = onnx_runtime.load()
    packages = Path(runtime.__file__).parent.parent  # searching all package metadata would take 0.4 s
    plugins = sorted(folder.name for folder in packages.glob("onnxruntime_ep_*.dist-info"))
    return (runtime.__version__, *plugins, *(_version(name) for name in ("numpy", "isal", "pillow")))


def _version(package: str) -> str:
    """Return a package's version, or nothing where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _matches(if_none_match: Sequence[str], etag: str) -> bool:
    """Return whether a client has the image, by weak comparison (RFC 9110, section 13.1.2)."""
    given = {tag.strip().removeprefix("W/") for tag in ",".join(if_none_match).split(",")}
    return bool(given & {etag.removeprefix("W/"), "*"})


def _read_file(name: str) -> tuple[int, AnswerFormat]:
    """Return the seed and the format of a file name such as ``42.png``; raises Problem, 404 or 422."""
    seed, _, extension = name.rpartition(".")
    formats = image_formats()
    if extension not in formats:
        raise Problem(ProblemType.NOT_FOUND, f"Ask for a seed as {', '.join(f'42.{one}' for one in formats)}.")
    if not re.fullmatch("[0-9]{1,10}", seed) or int(seed) >= latents.SEEDS:
        error = FieldError(field="seed", message="seed must be an integer from 0 to 4294967295")
        raise invalid(ProblemType.INVALID_FIELD, [error])
    return int(seed), formats[extension]


def _is_pinned(request: Request) -> bool:
    """Return whether the URL names a version."""
    return "@" in request.path_params["model"]


def _redirect(request: Request, model: Model) -> Response:
    """Redirect from a model's name to its newest version, which may be another one later."""
    *_, last = request.url.path.split("/")
    query = f"?{request.url.query}" if request.url.query else ""
    headers = {"Location": f"../{model.ref}/{last}{query}", "Cache-Control": "no-cache", **EMBEDDABLE}
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)
