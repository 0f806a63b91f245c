"""A certificate authority of our own, with certificates right and wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """Signs certificates into `directory`; `ca` is the file to trust."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = directory / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._issuer = _name("An authority for tests")
        builder = self._builder(self._issuer, self._key, 400 * DAY, 400 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def issue(
        self,
        *names: str,
        age: timedelta = DAY,
        left: timedelta = 89 * DAY,
        self_signed: bool = False,
    ) -> tuple[Path, Path]:
        """Make a certificate for `names` (this machine when there is none); the files of certificate and key."""
        names = names or ("localhost", "127.0.0.1")
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        builder = self._builder(_name(names[0]), key, age, left, _name(names[0]) if self_signed else None)
        builder = builder.add_extension(alternatives, critical=False)
        signed = builder.sign(key if self_signed else self._key, hashes.SHA256())
        return self._keep(f"{signed.serial_number:x}", signed, key)

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        age: timedelta,
        left: timedelta,
        issuer: x509.Name | None = None,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self._issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - age)
            .not_valid_after(now + left)
        )

    def _keep(
        self, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> tuple[Path, Path]:
        chain, secret = self.directory / f"{stem}.pem", self.directory / f"{stem}.key"
        chain.write_bytes(certificate.public_bytes(PEM))
        form = serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(PEM, form, serialization.NoEncryption()))
        return chain, secret
