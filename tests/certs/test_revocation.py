"""Whether a certificate was revoked: what its authority signed counts, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from mainstay.certs import revocation
from mainstay.certs.authority import NoWord
from mainstay.certs.pem import Pair, pair

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey


def key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """An authority that revokes."""

    def __init__(self) -> None:
        self.key = key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An issuer")])
        self.certificate = self._sign(self.name, self.key, ca=True)
        own = key()
        leaf = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.test")]), own, ca=False)
        secret = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = leaf.public_bytes(Encoding.PEM) + self.certificate.public_bytes(Encoding.PEM)
        self.leaf = leaf
        self.pair = pair(chain, secret, "test")

    def _sign(self, subject: x509.Name, whose: Key, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(whose.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=89))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        return builder.sign(self.key, hashes.SHA256())

    def revoked(self, *serials: int, signer: Key | None = None, age: timedelta = timedelta(0)) -> bytes:
        """A list of revoked certificates."""
        made = NOW - age
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(made)
        builder = builder.next_update(made + timedelta(days=7))
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(made)
            reason = x509.CRLReason(x509.ReasonFlags.superseded)
            builder = builder.add_revoked_certificate(entry.add_extension(reason, critical=False).build())
        return builder.sign(signer or self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def answer(self, *, revoked: bool, signer: Issuer | None = None, **changes: Any) -> bytes:
        """An answer of OCSP."""
        signer = signer or self
        given: dict[str, Any] = {
            "cert": self.leaf,
            "issuer": self.certificate,
            "algorithm": hashes.SHA1(),  # noqa: S303 - as everybody asks
            "cert_status": ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
            "this_update": NOW,
            "next_update": NOW + timedelta(hours=1),
            "revocation_time": NOW if revoked else None,
            "revocation_reason": None,
            **changes,
        }
        builder = ocsp.OCSPResponseBuilder().add_response(**given)
        built = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        return built.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def by_list(found: Pair, body: bytes) -> str | None:
    return revocation.by_list(found, body, NOW.timestamp())


def by_answer(found: Pair, body: bytes) -> str | None:
    return revocation.by_answer(found, body, NOW.timestamp())


def test_a_list_says_who_is_revoked(issuer: Issuer) -> None:
    assert by_list(issuer.pair, issuer.revoked(1, 2, 3)) is None
    assert (
        by_list(issuer.pair, issuer.revoked(1, issuer.leaf.serial_number)) == "its authority says: superseded"
    )


def test_a_list_that_is_not_the_issuer_s_or_not_of_now_says_nothing(issuer: Issuer) -> None:
    for body in (
        issuer.revoked(issuer.leaf.serial_number, signer=key()),
        issuer.revoked(issuer.leaf.serial_number, age=timedelta(days=8)),
        issuer.revoked(issuer.leaf.serial_number, age=timedelta(days=-1)),
        Issuer().revoked(issuer.leaf.serial_number),
        b"nothing",
    ):
        with pytest.raises(NoWord):
            by_list(issuer.pair, body)


def test_an_answer_says_whether_it_is_revoked(issuer: Issuer) -> None:
    asked = ocsp.load_der_ocsp_request(revocation.question(issuer.pair))
    assert asked.serial_number == issuer.leaf.serial_number
    assert by_answer(issuer.pair, issuer.answer(revoked=False)) is None
    assert by_answer(issuer.pair, issuer.answer(revoked=True)) == "its authority gives no reason"
    words = issuer.answer(revoked=True, revocation_reason=x509.ReasonFlags.key_compromise)
    assert by_answer(issuer.pair, words) == "its authority says: key compromise"


def test_an_answer_that_anybody_could_have_made_says_nothing(issuer: Issuer) -> None:
    other = Issuer()
    old: dict[str, Any] = {"this_update": NOW - timedelta(days=2), "next_update": NOW - timedelta(days=1)}
    for body in (
        issuer.answer(revoked=True, signer=other),
        issuer.answer(revoked=True, cert=other.leaf),
        issuer.answer(revoked=False, **old),
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
            Encoding.DER
        ),
        b"nothing",
    ):
        with pytest.raises(NoWord):
            by_answer(issuer.pair, body)
