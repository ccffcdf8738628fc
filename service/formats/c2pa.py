"""C2PA: signs files with a manifest that says who made them; any change of a file breaks its signature.

A manifest has a random identifier and a signature a random number: the same image signed twice is two different files
with the same pixels. https://spec.c2pa.org
"""

import functools
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from service.engine.renderer import Encoder
from service.engine.requests import Image, RenderRequest
from service.errors import ServiceError
from service.formats import metadata, png
from service.formats.base import AnswerFormat, FilesFormat

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

# C2PA's name of the algorithm, by the curve or the kind of a key.
ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512", "RSA": "ps256", "Ed25519": "ed25519"}
# No thumbnail in the manifest; signatures are verified once, at the start.
LIBRARY = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
UNTRUSTED = "signingCredential.untrusted"  # which issuers are trusted is up to each verifier


class Signer:
    """Signs files; its methods may be called by several threads at once."""

    def __init__(self, certificates: bytes, key: bytes, algorithm: str) -> None:
        """Take PEM: the certificates, the signer's own first, and its key (PKCS #8)."""
        import c2pa

        self.fingerprint = hashlib.sha256(certificates + c2pa.sdk_version().encode()).hexdigest()
        self._library = c2pa
        self._context = c2pa.Context(c2pa.Settings.from_dict(LIBRARY))
        self._signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificates, key, None))

    def sign(self, media_type: str, data: bytes, texts: dict[str, str]) -> bytes:
        """Return a file with a manifest that says that a trained model made it, and ``texts``."""
        signed = io.BytesIO()
        builder = self._library.Builder(_manifest(texts), self._context)
        builder.sign(self._signer, media_type, io.BytesIO(data), signed)
        return signed.getvalue()

    def check(self) -> str | None:
        """Sign an image and verify it; return what is wrong, or None."""
        try:
            signed = self.sign("image/png", png.encode(np.zeros((1, 1, 1), np.uint8)), {})
            reader = self._library.Reader("image/png", io.BytesIO(signed))
            failures = reader.get_validation_results()["activeManifest"]["failure"]
        except self._library.C2paError as error:
            return str(error).removeprefix("Signature: ")
        return next((failure["explanation"] for failure in failures if failure["code"] != UNTRUSTED), None)


def signed(answer_format: AnswerFormat, signer: Signer | None) -> Encoder:
    """Return an encoder that signs each file that ``answer_format`` makes, or that format itself.

    The latter is for a format whose files C2PA cannot sign, and where there is no signer.
    """
    if signer is None or answer_format.c2pa_type is None:
        return answer_format
    kind = _SignedFiles if isinstance(answer_format, FilesFormat) else _SignedWhole
    return kind(answer_format, functools.partial(signer.sign, answer_format.c2pa_type))


class _Signed(NamedTuple):
    """A format, and (file, texts for its manifest) -> signed file."""

    unsigned: AnswerFormat
    sign: Callable[[bytes, dict[str, str]], bytes]

    def encode_image(self, request: RenderRequest, index: int, image: Image) -> Any:
        return self.unsigned.encode_image(request, index, image)

    def combine(self, request: RenderRequest, parts: list[Any]) -> Any:
        return self.unsigned.combine(request, parts)


class _SignedWhole(_Signed):
    def combine(self, request: RenderRequest, parts: list[Any]) -> bytes:
        return self.sign(super().combine(request, parts), request.texts())


class _SignedFiles(_Signed):
    def encode_image(self, request: RenderRequest, index: int, image: Image) -> bytes:
        return self.sign(super().encode_image(request, index, image), request.texts_of(index))


def _manifest(texts: dict[str, str]) -> str:
    action = {
        "action": "c2pa.created",
        "digitalSourceType": metadata.DIGITAL_SOURCE_TYPE,
        "softwareAgent": {"name": "Nelumbo"},
        "description": ", ".join(f"{key} {text}" for key, text in texts.items()),
    }
    assertion = {"label": "c2pa.actions.v2", "data": {"actions": [action]}}
    return json.dumps({"claim_generator_info": [{"name": "Nelumbo"}], "assertions": [assertion]})


def read_signer(key: Path | None, certificate: Path | None) -> Signer | None:
    """Return a signer with the key and certificate of these PEM files, or None without them; raises ServiceError."""
    if key is None and certificate is None:
        return None
    if key is None or certificate is None:
        raise ServiceError("to sign images, set both NELUMBO_C2PA_KEY and NELUMBO_C2PA_CERTIFICATE to PEM files")
    try:
        import c2pa  # noqa: F401
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ServiceError("signing is not installed; it needs pip install 'nelumbo[c2pa]'") from error
    return _open(key, certificate)


def _open(key: Path, certificate: Path) -> Signer:
    from cryptography.hazmat.primitives import serialization as pem

    private, chain = _read_key(key), _read_certificates(certificate)
    if private.public_key() != chain[0].public_key():
        raise ServiceError(
            f"{key} is not the key of the first certificate in {certificate}; the signer's own must be the first"
        )
    name = getattr(
        getattr(private, "curve", None), "name", type(private).__name__.strip("_").removesuffix("PrivateKey")
    )
    if name not in ALGORITHMS:
        raise ServiceError(f"{key} is a key for {name}; C2PA signs with {', '.join(ALGORITHMS)}")
    signer = Signer(
        b"".join(one.public_bytes(pem.Encoding.PEM) for one in chain),
        private.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()),
        ALGORITHMS[name],
    )
    if problem := signer.check():
        raise ServiceError(f"{certificate} cannot sign images: {problem}")
    return signer


def _read_key(path: Path) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(_read(path), password=None)
    except TypeError as error:
        raise ServiceError(f"{path} is encrypted; the service needs a key without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ServiceError(f"{path} holds no private key in PEM") from error


def _read_certificates(path: Path) -> "list[Certificate]":
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise ServiceError(f"{path} holds no certificates in PEM") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}") from error
