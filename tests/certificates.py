"""A certificate authority for tests; it issues keys and certificates that C2PA accepts."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY = ec.generate_private_key(ec.SECP256R1())
NO_USAGE = dict.fromkeys(
    (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ),
    False,
)  # fmt: skip


def root() -> bytes:
    """The authority's own certificate, PEM."""
    return _issue("Nelumbo's test authority", AUTHORITY, authority=True)


def chain(key: Any, **changes: Any) -> bytes:
    """A certificate for ``key`` and below it the authority's, PEM."""
    return _issue("Nelumbo's tests", key, **changes) + root()


def text(key: Any, form: pem.PrivateFormat = pem.PrivateFormat.PKCS8, password: bytes | None = None) -> bytes:
    encryption = pem.BestAvailableEncryption(password) if password else pem.NoEncryption()
    written: bytes = key.private_bytes(pem.Encoding.PEM, form, encryption)
    return written


def write(folder: Path, key: Any = None, **changes: Any) -> dict[str, Path]:
    """Write a key and its certificates, and return the settings that name them."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    settings = {"c2pa_key": folder / "key.pem", "c2pa_certificate": folder / "certificate.pem"}
    settings["c2pa_key"].write_bytes(text(key))
    settings["c2pa_certificate"].write_bytes(chain(key, **changes))
    return settings


def for_loopback(folder: Path) -> Path:
    """Write ``server.pem``, a key and certificates of a TLS server at 127.0.0.1, and return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / "server.pem"
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    path.write_bytes(text(key) + chain(key, purpose=ExtendedKeyUsageOID.SERVER_AUTH, names=loopback))
    return path


def _name(common: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, "Nelumbo"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def _issue(
    common: str,
    key: Any,
    *,
    authority: bool = False,
    days: float = 1,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    names: x509.SubjectAlternativeName | None = None,
) -> bytes:
    now, public = datetime.now(UTC), key.public_key()
    usage = {"key_cert_sign": True} if authority else {"digital_signature": True}
    builder = (
        x509.CertificateBuilder(_name("Nelumbo's test authority"), _name(common), public, x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**NO_USAGE | usage), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(AUTHORITY.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(AUTHORITY, hashes.SHA256()).public_bytes(pem.Encoding.PEM)
