"""Signatures by a private key that only the sender has; what is kept as the source's secret is the public key."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mainstay.core.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

LEAST_RSA = 2048
MOST_SIGNATURES = 4
"""So many are tried in one request: each costs a tenth of a millisecond with every key."""
Judge = Callable[[str, bytes, bytes], bool]
"""Whether (public key, signature, content) belong together."""


@lru_cache(64)
def ed25519_key(raw: bytes) -> "Ed25519PublicKey":
    """Read a public key of 32 bytes. Raises `ValueError`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(raw)


@lru_cache(64)
def ecdsa_key(text: str) -> "EllipticCurvePublicKey":
    """Read a public key in base64 of DER, or PEM. Raises `ValueError`."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    bare = "".join(re.sub(r"-----[A-Z ]+-----", "", text).split())
    try:
        key = load_der_public_key(base64.b64decode(bare, validate=True))
    except (ValueError, binascii.Error) as fault:
        raise ValueError("not a public key") from fault
    if not isinstance(key, EllipticCurvePublicKey):
        raise ValueError("not a key of an elliptic curve")
    return key


def ed25519(key: bytes, signature: bytes, content: bytes) -> bool:
    """Whether an Ed25519 signature is right."""
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519_key(key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def ecdsa(key: str, signature: bytes, content: bytes) -> bool:
    """Whether an ECDSA signature with SHA-256 is right."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        ecdsa_key(key).verify(signature, content, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is needed of a certificate: its key, whose it is, and when it ends (seconds since 1970)."""

    key: "RSAPublicKey"
    names: tuple[str, ...]
    ends_at: float


@lru_cache(64)
def certificate(text: str) -> Certificate:
    """Read the first certificate in PEM. Raises `ValueError`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    found = x509.load_pem_x509_certificate(text.encode())
    key = found.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_RSA:
        raise ValueError(f"its key is not RSA of {LEAST_RSA} bits or more")
    names = [str(one.value) for one in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    try:
        others = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += others.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    return Certificate(key, tuple(name.lower() for name in names), found.not_valid_after_utc.timestamp())


def rsa(text: str, signature: bytes, content: bytes) -> bool:
    """Whether an RSA signature (PKCS #1 v1.5 with SHA-256) is right for a certificate."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        certificate(text).key.verify(signature, content, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def proven(
    secrets: Sequence[Secret], signatures: Sequence[bytes], content: bytes, judge: Judge
) -> Secret | None:
    """Give the secret whose key made one of the signatures."""
    for secret in secrets:
        for signature in signatures[:MOST_SIGNATURES]:
            if judge(secret.reveal(), signature, content):
                return secret
    return None
