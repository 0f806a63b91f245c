"""Certificates and keys in files: what a pair says, and whether it fits together."""

import base64
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from cryptography import x509

BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\r?\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate of a server. Times are seconds since 1970; `serial` and `fingerprint` (SHA-256) are hexadecimal."""

    serial: str
    fingerprint: str
    names: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    ari: str | None = None
    """Its identifier for ARI, as RFC 9773 makes it; None when the certificate does not name its issuer's key."""
    self_signed: bool = False
    """Whether it stands only for one that is yet to be issued."""
    ocsp: str | None = None
    crls: tuple[str, ...] = ()

    @property
    def lifetime(self) -> float:
        """Seconds from its beginning to its end."""
        return self.not_after - self.not_before

    def covers(self, name: str) -> bool:
        """Whether a client that asks for `name` accepts it; a wildcard needs the very wildcard."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, those between it and the root, and its key, all in PEM."""

    leaf: Leaf
    certificate: bytes
    chain: bytes
    key: bytes

    @property
    def fullchain(self) -> bytes:
        """The certificate and those between it and the root, as servers want them."""
        return self.certificate + self.chain


def pair(fullchain: bytes, key: bytes, where: str) -> Pair:
    """Read a pair. Raises `MainstayError` when one of them is no PEM or they do not belong together."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    blocks = [block.rstrip() + b"\n" for block in BLOCK.findall(fullchain)]
    if not blocks:
        raise MainstayError(f"{where}: this holds no certificate in PEM", hint="give the file fullchain.pem")
    try:
        certificate = x509.load_pem_x509_certificate(blocks[0])
        found = leaf(certificate)
    except ValueError as fault:
        raise MainstayError(f"{where}: the certificate cannot be read: {fault}") from None
    try:
        secret = load_pem_private_key(key, password=None)
    except (ValueError, TypeError):  # never what the library says: it may quote the key
        raise MainstayError(
            f"{where}: the key cannot be read", hint="give a key in PEM, without a password"
        ) from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != secret.public_key().public_bytes(*form):
        raise MainstayError(
            f"{where}: the key is not the certificate's", hint="give the two that belong together"
        )
    return Pair(found, blocks[0], b"".join(blocks[1:]), key)


def leaf(certificate: "x509.Certificate") -> Leaf:
    """Say what a certificate says."""
    from cryptography.hazmat.primitives import hashes

    return Leaf(
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        names=_names(certificate),
        issuer=_common_name(certificate.issuer),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        ari=_ari(certificate),
        self_signed=certificate.issuer == certificate.subject,
        ocsp=_ocsp(certificate),
        crls=_crls(certificate),
    )


def _names(certificate: "x509.Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    known = [str(name).lower() for name in names.get_values_for_type(x509.DNSName)]
    return (
        *known,
        *(str(ipaddress.ip_address(str(one))) for one in names.get_values_for_type(x509.IPAddress)),
    )


def _common_name(name: "x509.Name") -> str:
    from cryptography.x509.oid import NameOID

    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _ari(certificate: "x509.Certificate") -> str | None:
    """Give base64url(key identifier of the issuer) "." base64url(serial), each as DER has it (RFC 9773, 4.1)."""
    from cryptography import x509

    try:
        key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None
    number = certificate.serial_number
    serial = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return f"{_base64(key)}.{_base64(serial)}" if key else None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _ocsp(certificate: "x509.Certificate") -> str | None:
    from cryptography.x509 import AuthorityInformationAccess, ExtensionNotFound, UniformResourceIdentifier
    from cryptography.x509.oid import AuthorityInformationAccessOID

    try:
        access = certificate.extensions.get_extension_for_class(AuthorityInformationAccess).value
    except ExtensionNotFound:
        return None
    places = (
        one.access_location.value
        for one in access
        if one.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(one.access_location, UniformResourceIdentifier)
    )
    return next(places, None)


def _crls(certificate: "x509.Certificate") -> tuple[str, ...]:
    from cryptography.x509 import CRLDistributionPoints, ExtensionNotFound, UniformResourceIdentifier

    try:
        points = certificate.extensions.get_extension_for_class(CRLDistributionPoints).value
    except ExtensionNotFound:
        return ()
    return tuple(
        name.value
        for point in points
        for name in point.full_name or ()
        if isinstance(name, UniformResourceIdentifier)
    )
