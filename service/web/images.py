"""Pictures as resources: what a URL names never changes, so that any cache may keep it and none need ask again."""

import functools
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from importlib import metadata

import onnxruntime
from starlette.requests import Request
from starlette.responses import Response

from service.engine import latents
from service.engine.library import Model
from service.engine.renderer import Renderer
from service.formats.c2pa import Signer
from service.formats.registry import FORMS, Form, Picture
from service.settings import Settings
from service.web.problems import FieldError, Problem
from service.web.schemas import ImageQuery, find_model, invalid, validate

Answer = Callable[[Picture, str, Form, Request], Awaitable[Response]]

KEEP = "max-age=31536000, immutable"  # a year: for ever
MEDIA_TYPES = {form.extension: name for name, form in FORMS.items() if name.startswith("image/")}
ENCODING = 1  # to be raised with a change of ours that writes the same pixels as other bytes
THUMBNAILS = 16


class Images:
    """The handlers, around the one function that draws and answers."""

    def __init__(self, renderer: Renderer, settings: Settings, answer: Answer) -> None:
        self._renderer = renderer
        self._samples = range(min(THUMBNAILS, settings.max_images))
        # Where keys are asked for, a cache between must not send one client's picture to another that has none.
        self._keep = f"{'private' if settings.api_keys else 'public'}, {KEEP}"
        self._answer = answer

    async def image(self, request: Request) -> Response:
        """Send the picture of one seed."""
        model = find_model(self._renderer.library, request.path_params["model"])
        seed, extension = _read_file(request.path_params["file"])
        truncation = _read_query(request).truncation
        if _is_pinned(request):
            return await self._send(Picture(model, truncation, seeds=(seed,)), extension, request)
        return _redirect(request, model)

    async def thumbnail(self, request: Request) -> Response:
        """Send a sheet of a model's first seeds."""
        model = find_model(self._renderer.library, request.path_params["model"])
        if _is_pinned(request):
            return await self._send(Picture(model, seeds=self._samples), "png", request)
        return _redirect(request, model)

    async def _send(self, picture: Picture, extension: str, request: Request) -> Response:
        etag = _etag(picture, extension, self._renderer.signer)
        headers = {"ETag": etag, "Cache-Control": self._keep}
        if _has(request.headers.getlist("if-none-match"), etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        media_type = MEDIA_TYPES[extension]
        if request.method == "HEAD":
            response = Response(headers=headers, media_type=media_type)
            del response.headers["content-length"]  # it would have to be that of the picture, which is not drawn
            return response
        response = await self._answer(picture, media_type, FORMS[media_type], request)
        del response.headers["vary"]  # the URL alone decides
        response.headers.update(headers)
        return response


def _etag(picture: Picture, extension: str, signer: Signer | None) -> str:
    """Return an ETag that needs no drawing: a digest of everything that decides the bytes.

    Signed, the same picture has other bytes each time, and not all providers promise the same ones: such a tag is a
    weak one (RFC 9110, section 8.8.1).
    """
    model = picture.model
    weak = signer is not None or model.deterministic != "exact"
    parts = (model.ref, model.digest, model.provider, picture.seed_text(), picture.truncation, extension)
    told = "\n".join(map(str, (*parts, ENCODING, *_software(), *((signer.fingerprint,) if signer else ()))))
    return f'{"W/" if weak else ""}"{hashlib.sha256(told.encode()).hexdigest()[:32]}"'


@functools.cache
def _software() -> tuple[str, ...]:
    """Return what draws and encodes: another version of it may write the same picture as other bytes."""
    installed = {found.name.lower(): found.version for found in metadata.distributions()}
    return (
        onnxruntime.__version__,
        *(found for name, found in sorted(installed.items()) if name.startswith("onnxruntime-ep-")),
        *(installed.get(name, "") for name in ("numpy", "isal", "pillow")),
    )


def _has(if_none_match: Sequence[str], etag: str) -> bool:
    """Tell whether a client has the picture; a proxy may have made its tag a weak one."""
    given = {tag.strip().removeprefix("W/") for tag in ",".join(if_none_match).split(",")}
    return bool(given & {etag.removeprefix("W/"), "*"})


def _read_file(name: str) -> tuple[int, str]:
    """Return the seed and format that ``42.png`` asks for; raises Problem, 404 or 422."""
    seed, _, extension = name.rpartition(".")
    if extension not in MEDIA_TYPES:
        raise Problem(HTTPStatus.NOT_FOUND, f"Ask for a seed as {', '.join(f'42.{one}' for one in MEDIA_TYPES)}.")
    if not re.fullmatch("[0-9]{1,10}", seed) or int(seed) >= latents.SEEDS:
        raise invalid([FieldError(field="seed", message="seed must be an integer from 0 to 4294967295")])
    return int(seed), extension


def _read_query(request: Request) -> ImageQuery:
    pairs = request.query_params.multi_items()
    if len(pairs) > len(dict(pairs)):
        raise invalid([FieldError(field=pairs[-1][0][:80], message="each parameter must stand once")])
    return validate(ImageQuery, dict(pairs))


def _is_pinned(request: Request) -> bool:
    return "@" in request.path_params["model"]


def _redirect(request: Request, model: Model) -> Response:
    """Lead from a model's name to its newest version: for now, so that no cache may keep it unasked."""
    *_, last = request.url.path.split("/")
    query = f"?{request.url.query}" if request.url.query else ""
    headers = {"Location": f"../{model.ref}/{last}{query}", "Cache-Control": "no-cache"}
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)
