"""Whether a certificate was revoked, from what its authority signed: an answer of OCSP, or a list (CRL)."""

from typing import TYPE_CHECKING

from mainstay.certs.authority import NoWord
from mainstay.certs.pem import Pair

if TYPE_CHECKING:
    from cryptography import x509

SKEW = 300.0
"""Seconds by which the authority's clock may differ from ours."""


def _both(pair: Pair) -> "tuple[x509.Certificate, x509.Certificate]":
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pair.certificate)
    return certificate, x509.load_pem_x509_certificates(pair.chain)[0]


def question(pair: Pair) -> bytes:
    """Give the question to ask by OCSP."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import ocsp

    certificate, issuer = _both(pair)
    # Authorities know certificates by this hash; it protects nothing here (RFC 5019, 2.1.1).
    built = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
    return built.build().public_bytes(Encoding.DER)


def by_answer(pair: Pair, body: bytes, now: float) -> str | None:
    """Read an answer of OCSP; say why the certificate counts no more, or None. Raises `NoWord`."""
    from cryptography.x509 import ocsp

    certificate, issuer = _both(pair)
    try:
        answer = ocsp.load_der_ocsp_response(body)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise NoWord(f"OCSP was answered with {answer.response_status.name.lower()}")
        if answer.serial_number != certificate.serial_number:
            raise NoWord("OCSP was answered about another certificate")
        _check_signature(answer, issuer)
        _check_age(answer.this_update_utc.timestamp(), answer.next_update_utc, now)
    except ValueError as fault:
        raise NoWord(f"OCSP was answered with something that cannot be read: {fault}") from None
    if answer.certificate_status is not ocsp.OCSPCertStatus.REVOKED:
        return None
    reason = answer.revocation_reason
    return _words(reason.value if reason else None)


def _check_signature(answer: object, issuer: "x509.Certificate") -> None:
    """Accept what the issuer signed, or a responder whose certificate the issuer made for that."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.x509 import ocsp
    from cryptography.x509.oid import ExtendedKeyUsageOID

    assert isinstance(answer, ocsp.OCSPResponse)  # noqa: S101
    signer = issuer
    try:
        for delegate in answer.certificates:
            usage = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            if ExtendedKeyUsageOID.OCSP_SIGNING in usage:
                delegate.verify_directly_issued_by(issuer)
                signer = delegate
        _verify(signer, answer.signature, answer.tbs_response_bytes, answer.signature_hash_algorithm)
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        raise NoWord("the answer of OCSP is not signed by the issuer") from None


def _verify(signer: "x509.Certificate", signature: bytes, data: bytes, algorithm: object) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    assert isinstance(algorithm, HashAlgorithm)  # noqa: S101
    key = signer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, ec.ECDSA(algorithm))
    else:
        raise TypeError("neither RSA nor an elliptic curve")


def by_list(pair: Pair, body: bytes, now: float) -> str | None:
    """Read a list of revoked certificates; say why this one counts no more, or None. Raises `NoWord`."""
    from cryptography import x509

    certificate, issuer = _both(pair)
    try:
        revoked = x509.load_der_x509_crl(body)
        public = issuer.public_key()
        if revoked.issuer != issuer.subject or not revoked.is_signature_valid(public):  # type: ignore[arg-type]
            raise NoWord("the list of revoked certificates is not signed by the issuer")
        _check_age(revoked.last_update_utc.timestamp(), revoked.next_update_utc, now)
    except (ValueError, TypeError) as fault:
        raise NoWord(f"the list of revoked certificates cannot be read: {fault}") from None
    entry = revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return None
    try:
        return _words(entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value)
    except x509.ExtensionNotFound:
        return _words(None)


def _check_age(made_at: float, until: object, now: float) -> None:
    """Believe nothing from the future, and nothing that has had its time: an old answer may be played back."""
    ends = until.timestamp() if hasattr(until, "timestamp") else None
    if made_at > now + SKEW or (ends is not None and ends < now - SKEW):
        raise NoWord("what the authority says of revocation is not of now")


def _words(reason: str | None) -> str:
    if reason in (None, "unspecified"):
        return "its authority gives no reason"
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in str(reason))
    return f"its authority says: {spaced.strip()}"
