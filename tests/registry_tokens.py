"""A server of tokens for docker-registry: each token is for what was asked, to read or to write, and nothing more."""

import base64
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import load_pem_x509_certificates

from tests import certificates
from tests.sources import running

ISSUER, SERVICE = "tests", "registry"


class Tokens(BaseHTTPRequestHandler):
    """Answers every request with a token for its scope; ``given`` collects the scopes."""

    def __init__(self, *args: Any, key: ec.EllipticCurvePrivateKey, chain: bytes, given: list[str]) -> None:
        self.key, self.chain, self.given = key, chain, given
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        scope = parse_qs(urlsplit(self.path).query).get("scope", [""])[0]
        self.given.append(scope)
        body = json.dumps({"token": self._token(scope)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _token(self, scope: str) -> str:
        kind, name, actions = scope.split(":") if scope else ("", "", "")
        access = [{"type": kind, "name": name, "actions": actions.split(",")}] if scope else []
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": SERVICE, "sub": "", "iat": now, "nbf": now - 10, "exp": now + 300}
        certificate = load_pem_x509_certificates(self.chain)[0].public_bytes(pem.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(certificate).decode()]}
        parts = [header, claims | {"jti": str(uuid.uuid4()), "access": access}]
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        numbers = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def tokens(folder: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Run the server; yields docker-registry's settings for it, and the scopes that it has given tokens for."""
    key, given = ec.generate_private_key(ec.SECP256R1()), list[str]()
    chain, roots = certificates.chain(key), folder / "roots.pem"
    roots.write_bytes(certificates.root())
    handler = partial(Tokens, key=key, chain=chain, given=given)
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        realm = f"http://127.0.0.1:{port}/token"
        yield {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(roots)}, given
