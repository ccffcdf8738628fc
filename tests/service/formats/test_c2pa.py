import base64
import io
import json
import math
import sys
import zipfile
from collections.abc import Iterator
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

from service.engine.renderer import Renderer
from service.errors import ServiceError
from service.formats import png
from service.formats.animation import FORMS_OF, Walk
from service.formats.c2pa import WHOLE, read_signer
from service.formats.registry import ARRAYS, FORMS, PNGS, Form, Picture
from service.settings import read_settings
from service.web.app import make_app
from tests import certificates
from tests.service.formats.test_metadata import told_by_exiftool
from tests.service.web.conftest import Client

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def signing(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    made = Renderer(read_settings(models=models, **certificates.write(tmp_path_factory.mktemp("keys"))))
    made.load()
    yield made
    made.close()


def drawn(renderer: Renderer, picture: Picture, form: Form) -> Any:
    return renderer.submit(picture, form, math.inf)[0].result(60)


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


@pytest.mark.parametrize("media_type", ["image/png", "image/webp", "image/jpeg"])
@pytest.mark.parametrize("seeds", [(42,), (1, 2, 3)])
def test_a_picture_is_signed_and_keeps_its_marking(
    signing: Renderer, tmp_path: Path, media_type: str, seeds: tuple[int, ...]
) -> None:
    picture = Picture(signing.library.find("rgb"), 0.7, seeds=seeds)
    data = drawn(signing, picture, FORMS[media_type])
    manifest = verify(media_type, data)
    assert action(manifest)["action"] == "c2pa.created"
    assert action(manifest)["digitalSourceType"] == SOURCE
    seed = ",".join(map(str, seeds))
    assert action(manifest)["description"] == f"model rgb, version 1, truncation 0.7, seed {seed}"
    assert "thumbnail" not in manifest
    file = tmp_path / f"signed.{FORMS[media_type].extension}"
    file.write_bytes(data)
    assert told_by_exiftool(file)["DigitalSourceType"] == SOURCE


@pytest.mark.parametrize(
    ("form", "media_type"),
    [(form, name) for form, forms in FORMS_OF.items() for name in forms if name.startswith("image/")],
)
def test_a_walk_is_signed_and_still_moves(signing: Renderer, form: str, media_type: str) -> None:
    made = FORMS_OF[form][media_type]
    walk = Walk(signing.library.find("rgb"), latents=[np.full(16, i, np.float32) for i in range(3)], ends=(1, 2))
    data = drawn(signing, walk, made)
    assert "seed0001-to-seed0002, slerp, 3 steps" in action(verify(WHOLE[made.extension], data))["description"]
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == (3 if form == "animation" else 1)


def test_each_picture_of_a_zip_of_json_and_of_bulk_is_signed(signing: Renderer) -> None:
    picture = Picture(signing.library.find("grey"), seeds=(4, 5))
    with zipfile.ZipFile(io.BytesIO(drawn(signing, picture, FORMS["application/zip"]))) as archive:
        pngs = [archive.read(name) for name in archive.namelist()]
    data = json.loads(drawn(signing, picture, FORMS["application/json"]))["data"]
    pngs += [base64.b64decode(one["b64_json"]) for one in data] + drawn(signing, picture, PNGS)
    seeds = [action(verify("image/png", one))["description"].rpartition(" ")[2] for one in pngs]
    assert seeds == ["4", "5"] * 3


def test_arrays_are_as_they_were(signing: Renderer, renderer: Renderer) -> None:
    pictures = [Picture(one.library.find("grey"), seeds=(4, 5)) for one in (signing, renderer)]
    np.testing.assert_array_equal(drawn(signing, pictures[0], ARRAYS), drawn(renderer, pictures[1], ARRAYS))


def test_signing_changes_no_pixel_and_two_signatures_differ(signing: Renderer, renderer: Renderer) -> None:
    first, second = (drawn(signing, Picture(signing.library.find("rgb"), seeds=(7,)), FORMS["image/png"]) for _ in "12")
    plain = drawn(renderer, Picture(renderer.library.find("rgb"), seeds=(7,)), FORMS["image/png"])
    assert first != second
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (first, second, plain)]
    np.testing.assert_array_equal(pixels[0], pixels[2])
    np.testing.assert_array_equal(pixels[1], pixels[2])


def test_a_changed_picture_is_found_out(signing: Renderer) -> None:
    data = bytearray(drawn(signing, Picture(signing.library.find("rgb"), seeds=(7,)), FORMS["image/png"]))
    data[-20] ^= 1
    assert Reader("image/png", io.BytesIO(bytes(data))).get_validation_state() == "Invalid"


def test_many_are_signed_at_once(signing: Renderer) -> None:
    def one(seed: int) -> str:
        data = drawn(signing, Picture(signing.library.find("grey"), seeds=(seed,)), FORMS["image/png"])
        return action(verify("image/png", data))["description"].rpartition(" ")[2]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(40))) == [str(seed) for seed in range(40)]


def test_the_etag_of_a_signed_picture_promises_no_bytes(
    signing: Renderer, renderer: Renderer, models: Path, tmp_path: Path
) -> None:
    client = Client(make_app(signing, read_settings()))
    first = client.get("/images/rgb@1/7.png")
    etag = first.headers["etag"]
    assert etag.startswith('W/"')
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/images/rgb@1/7.png", headers={"If-None-Match": etag}).status_code == 304
    plain = Client(make_app(renderer, read_settings())).get("/images/rgb@1/7.png").headers["etag"]
    assert plain.startswith('"')
    other = Renderer(read_settings(models=models, **certificates.write(tmp_path)))
    other.load()
    again = Client(make_app(other, read_settings())).get("/images/rgb@1/7.png", headers={"If-None-Match": etag})
    other.close()
    assert again.status_code == 200
    assert len({etag, f"W/{plain}", again.headers["etag"]}) == 3


KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_key_decides_the_algorithm(tmp_path: Path, algorithm: str) -> None:
    signer = read_signer(read_settings(**certificates.write(tmp_path, KEYS[algorithm]())))
    assert signer is not None
    signed = signer.sign("image/png", png.encode(np.zeros((4, 4, 3), np.uint8)), {"seed": "1"})
    assert verify("image/png", signed)["signature_info"]["alg"].lower() == algorithm


def test_a_key_as_openssl_writes_it_will_do(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    settings = certificates.write(tmp_path, key)
    settings["c2pa_key"].write_bytes(certificates.text(key, pem.PrivateFormat.TraditionalOpenSSL))
    assert read_signer(read_settings(**settings)) is not None


def test_without_a_key_nothing_is_signed() -> None:
    assert read_signer(read_settings()) is None


def test_half_a_signer_is_one_sentence(tmp_path: Path) -> None:
    for name, path in certificates.write(tmp_path).items():
        with pytest.raises(ServiceError, match="set both"):
            read_signer(read_settings(**{name: path}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"days": -1}, "certificate.pem cannot sign pictures: the certificate was not valid"),
        (
            {"purpose": ExtendedKeyUsageOID.SERVER_AUTH},
            "certificate.pem cannot sign pictures: the certificate is invalid",
        ),
    ],
)
def test_a_certificate_that_c2pa_refuses_is_one_sentence(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        read_signer(read_settings(**certificates.write(tmp_path, **changes)))


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
        read_signer(read_settings(**settings))
    assert "\n" not in str(refused.value)


def test_a_kind_of_key_that_c2pa_has_not_is_one_sentence(tmp_path: Path) -> None:
    settings = certificates.write(tmp_path, dsa.generate_private_key(2048))
    with pytest.raises(ServiceError, match="a key for DSA; C2PA signs with secp256r1"):
        read_signer(read_settings(**settings))


def test_a_missing_extra_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ServiceError, match=r"pip install 'nelumbo\[c2pa\]'"):
        read_signer(read_settings(**certificates.write(tmp_path)))
