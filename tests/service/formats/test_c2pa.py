import base64
import io
import json
import math
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("c2pa")
from c2pa import Context, Reader, Settings
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from service.engine.renderer import Encoder, Renderer
from service.engine.requests import Interpolation, RenderRequest
from service.errors import ServiceError
from service.formats import png, registry
from service.formats.base import AnimationFormat, AnswerFormat, FilesFormat, ImageFormat
from service.formats.c2pa import Signer, read_signer, signed
from service.formats.registry import FORMATS, PNG_FILES, named
from service.settings import read_settings
from service.web.app import make_app
from tests import certificates
from tests.service.formats.test_metadata import told_by_exiftool
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

SIGNED = [one for one in FORMATS if one.c2pa_type]  # now all of them
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def opened(files: dict[str, Path]) -> Signer | None:
    return read_signer(files.get("c2pa_key"), files.get("c2pa_certificate"))


def signer_of(files: dict[str, Path]) -> Signer:
    signer = opened(files)
    assert signer is not None
    return signer


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return signer_of(certificates.write(tmp_path_factory.mktemp("keys")))


def drawn(renderer: Renderer, request: RenderRequest, encoder: Encoder) -> Any:
    return renderer.submit(request, encoder, math.inf)[0].result(60)


def verify(media_type: str, data: bytes) -> dict[str, Any]:
    """Return the manifest that C2PA's own reader finds, if it is good and by whom the test trusts."""
    context = Context(Settings.from_dict({"trust": {"trust_anchors": certificates.root().decode()}}))
    reader = Reader(media_type, io.BytesIO(data), context=context)
    assert reader.get_validation_state() == "Trusted"
    manifest = reader.get_active_manifest()
    assert manifest is not None
    return manifest


def action(manifest: dict[str, Any]) -> dict[str, str]:
    ((one,),) = (a["data"]["actions"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    told: dict[str, str] = one
    return told


def manifests(answer_format: AnswerFormat, answer: bytes) -> list[dict[str, Any]]:
    """Return the verified manifest of each file in an answer."""
    if isinstance(answer_format, FilesFormat):
        return [verify("image/png", data) for data in unpacked(answer_format, answer)]
    assert answer_format.c2pa_type is not None
    return [verify(answer_format.c2pa_type, answer)]


def unpacked(answer_format: AnswerFormat, answer: bytes) -> list[bytes]:
    if answer_format.name == "json":
        return [base64.b64decode(one["b64_json"]) for one in json.loads(answer)["data"]]
    with zipfile.ZipFile(io.BytesIO(answer)) as archive:
        return [archive.read(name) for name in archive.namelist()]


def described(manifest: dict[str, Any]) -> str:
    return action(manifest)["description"]


@pytest.mark.parametrize("answer_format", SIGNED, ids=lambda one: f"{type(one).__name__}-{one.name}")
def test_every_format_is_signed_and_keeps_its_marking(
    renderer: Renderer, signer: Signer, tmp_path: Path, answer_format: AnswerFormat
) -> None:
    latents = [np.full(16, i, np.float32) for i in range(3)]
    for request in (
        RenderRequest(renderer.library.find("rgb"), 0.7, seeds=(42,)),
        RenderRequest(renderer.library.find("rgb"), 0.7, seeds=(1, 2, 3)),
        Interpolation(renderer.library.find("rgb"), 0.7, latents=latents, points=(1, 2)),
    ):
        data = drawn(renderer, request, signed(answer_format, signer))
        found = manifests(answer_format, data)
        for manifest in found:
            assert action(manifest)["action"] == "c2pa.created"
            assert action(manifest)["digitalSourceType"] == SOURCE
            assert "thumbnail" not in manifest
        if isinstance(answer_format, FilesFormat):
            texts = [request.texts_of(i) for i in range(len(request))]
        else:
            texts = [request.texts()]
            file = tmp_path / f"signed.{answer_format.extension}"
            file.write_bytes(data)
            frames = len(request) if isinstance(answer_format, AnimationFormat) else 1
            assert getattr(Image.open(file), "n_frames", 1) == frames
        assert list(map(described, found)) == [", ".join(f"{key} {text}" for key, text in one.items()) for one in texts]


@pytest.mark.parametrize("answer_format", [one for one in SIGNED if isinstance(one, ImageFormat)])
def test_exiftool_finds_the_marking_of_a_signed_image(
    renderer: Renderer, signer: Signer, tmp_path: Path, answer_format: AnswerFormat
) -> None:
    file = tmp_path / f"signed.{answer_format.extension}"
    request = RenderRequest(renderer.library.find("rgb"), seeds=(42,))
    file.write_bytes(drawn(renderer, request, signed(answer_format, signer)))
    assert told_by_exiftool(file)["DigitalSourceType"] == SOURCE


def test_each_png_of_bulk_is_signed(renderer: Renderer, signer: Signer) -> None:
    request = RenderRequest(renderer.library.find("grey"), seeds=(4, 5))
    pngs = drawn(renderer, request, signed(PNG_FILES, signer))
    assert [described(verify("image/png", one)).rpartition(" ")[2] for one in pngs] == ["4", "5"]


def tiff(image: np.ndarray, _: dict[str, str]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "TIFF")
    return file.getvalue()


def raw(image: np.ndarray, _: dict[str, str]) -> bytes:
    return image.tobytes()


@pytest.mark.parametrize("signing", [False, True])
@pytest.mark.parametrize(
    "toy",
    [
        ImageFormat("tiff", "image/tiff", "tif", c2pa_type="image/tiff", encode=tiff),
        ImageFormat("raw", "application/octet-stream", "raw", encode=raw),
        ImageFormat("narrow", "image/x-narrow", "narrow", max_side=20, encode=raw),
        FilesFormat("tsv", "text/tab-separated-values", "tsv", pack=lambda _, pngs: b"\t".join(pngs)),
        AnimationFormat("reel", "image/x-reel", "reel", join=lambda frames, _, __: b"".join(map(bytes, frames))),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_a_format_that_is_added_to_the_table_is_served_everywhere_signed_where_it_can_be(
    renderer: Renderer, signer: Signer, monkeypatch: pytest.MonkeyPatch, toy: AnswerFormat, signing: bool
) -> None:
    monkeypatch.setattr(registry, "FORMATS", (*FORMATS, toy))
    client = Client(make_app(renderer, read_settings(), signer=signer if signing else None))
    is_image, is_animation = isinstance(toy, ImageFormat), isinstance(toy, AnimationFormat)
    path, body = "/generate", {"model": "rgb@1", "seed": 7}
    if is_animation:
        path, body = "/interpolate", {"model": "rgb@1", "from": 1, "to": 2, "steps": 3}
    if toy.max_side:
        for answer in (
            client.post(path, json=body | {"format": toy.name}),
            client.get(f"/images/rgb@1/7.{toy.extension}"),
        ):
            problem(answer, "image-too-large")
        return
    answers = [
        client.post(path, json=body | {"format": toy.name}),
        client.post(path, json=body, headers={"accept": toy.media_type}),
        *([client.get(f"/images/rgb@1/7.{toy.extension}")] if is_image else []),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].partition(";")[0] == toy.media_type
        assert f'.{toy.extension}"' in answer.headers["content-disposition"]
        if signing and toy.c2pa_type and is_image:
            assert described(verify(toy.c2pa_type, answer.content)).endswith("seed 7")
    if not signing or toy.c2pa_type is None:
        assert len({answer.content for answer in answers}) == 1
    document = client.get("/openapi.json").json()
    assert toy.media_type in document["paths"][path]["post"]["responses"]["200"]["content"]
    schema = document["components"]["schemas"][
        {"/generate": "Generate", "/interpolate": "Interpolate"}[path] + "Request"
    ]
    assert toy.name in schema["properties"]["format"]["anyOf"][0]["enum"]


def test_signing_changes_no_pixel_and_two_signatures_differ(renderer: Renderer, signer: Signer) -> None:
    request = RenderRequest(renderer.library.find("rgb"), seeds=(7,))
    first, second = (drawn(renderer, request, signed(named("png"), signer)) for _ in "12")
    plain = drawn(renderer, request, named("png"))
    assert first != second
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (first, second, plain)]
    np.testing.assert_array_equal(pixels[0], pixels[2])
    np.testing.assert_array_equal(pixels[1], pixels[2])


def test_a_changed_picture_is_found_out(renderer: Renderer, signer: Signer) -> None:
    request = RenderRequest(renderer.library.find("rgb"), seeds=(7,))
    data = bytearray(drawn(renderer, request, signed(named("png"), signer)))
    data[-20] ^= 1
    assert Reader("image/png", io.BytesIO(bytes(data))).get_validation_state() == "Invalid"


def test_many_are_signed_at_once(renderer: Renderer, signer: Signer) -> None:
    def one(seed: int) -> str:
        request = RenderRequest(renderer.library.find("grey"), seeds=(seed,))
        return described(verify("image/png", drawn(renderer, request, signed(named("png"), signer)))).rpartition(" ")[2]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(40))) == [str(seed) for seed in range(40)]


def test_the_signer_is_part_of_the_etag(renderer: Renderer, signer: Signer, tmp_path: Path) -> None:
    def get(by: Signer | None, **headers: str) -> Any:
        return Client(make_app(renderer, read_settings(), signer=by)).get("/images/rgb@1/7.png", headers=headers)

    first = get(signer)
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert get(signer, **{"If-None-Match": etag}).status_code == 304
    again = get(signer_of(certificates.write(tmp_path)), **{"If-None-Match": etag})
    assert again.status_code == 200
    assert len({etag, get(None).headers["etag"], again.headers["etag"]}) == 3


KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_key_decides_the_algorithm(tmp_path: Path, algorithm: str) -> None:
    signer = opened(certificates.write(tmp_path, KEYS[algorithm]()))
    assert signer is not None
    signed = signer.sign("image/png", png.encode(np.zeros((4, 4, 3), np.uint8)), {"seed": "1"})
    assert verify("image/png", signed)["signature_info"]["alg"].lower() == algorithm


def test_a_key_as_openssl_writes_it_will_do(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    settings = certificates.write(tmp_path, key)
    settings["c2pa_key"].write_bytes(certificates.text(key, pem.PrivateFormat.TraditionalOpenSSL))
    assert opened(settings) is not None


def test_without_a_key_nothing_is_signed() -> None:
    assert read_signer(None, None) is None


def test_half_a_signer_is_one_sentence(tmp_path: Path) -> None:
    for name, path in certificates.write(tmp_path).items():
        with pytest.raises(ServiceError, match="set both"):
            opened({name: path})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"days": -1}, "certificate.pem cannot sign images: the certificate was not valid"),
        (
            {"purpose": ExtendedKeyUsageOID.SERVER_AUTH},
            "certificate.pem cannot sign images: the certificate is invalid",
        ),
    ],
)
def test_a_certificate_that_c2pa_refuses_is_one_sentence(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        opened(certificates.write(tmp_path, **changes))


OTHER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("c2pa_key", None, "key.pem cannot be read: No such file"),
        ("c2pa_key", b"no key", "key.pem holds no private key"),
        ("c2pa_key", certificates.text(OTHER), "is not the key of"),
        ("c2pa_key", certificates.text(OTHER, password=b"secret"), "key.pem is encrypted"),
        ("c2pa_certificate", None, "certificate.pem cannot be read: No such file"),
        ("c2pa_certificate", b"no certificate", "certificate.pem holds no certificates"),
        ("c2pa_certificate", certificates.root(), "is not the key of"),
    ],
)
def test_a_file_that_will_not_do_is_one_sentence(tmp_path: Path, file: str, content: bytes | None, said: str) -> None:
    settings = certificates.write(tmp_path)
    if content is None:
        settings[file].unlink()
    else:
        settings[file].write_bytes(content)
    with pytest.raises(ServiceError, match=said) as refused:
        opened(settings)
    assert "\n" not in str(refused.value)


def test_a_kind_of_key_that_c2pa_has_not_is_one_sentence(tmp_path: Path) -> None:
    settings = certificates.write(tmp_path, dsa.generate_private_key(2048))
    with pytest.raises(ServiceError, match="a key for DSA; C2PA signs with secp256r1"):
        opened(settings)


def test_a_missing_extra_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ServiceError, match=r"pip install 'nelumbo\[c2pa\]'"):
        opened(certificates.write(tmp_path))
