"""Who a client certificate is of. That it is a good one has been seen to by TLS."""

from mainstay.edge.gateway.hygiene import safe
from mainstay.edge.gateway.identity import Bad, Identity, Known
from mainstay.edge.gateway.settings_auth import CertificateSettings


class Certificates:
    """Reads client certificates."""

    def __init__(self, settings: CertificateSettings) -> None:
        self.settings = settings

    def judge(self, der: bytes) -> Known:
        """Give who it is of. It ends with the certificate."""
        from cryptography import x509

        try:
            certificate = x509.load_der_x509_certificate(der)
            name = self._name(certificate)
        except (ValueError, x509.ExtensionNotFound):
            name = None
        if name is None or safe(name) is None:
            return Bad("the certificate names nobody")
        return Identity(name, self.settings.plan, certificate.not_valid_after_utc.timestamp())

    def _name(self, certificate: "x509.Certificate") -> str | None:  # type: ignore[name-defined] # noqa: F821
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        kind = self.settings.subject
        if kind == "fingerprint":
            return str(certificate.fingerprint(hashes.SHA256()).hex())
        if kind == "common_name":
            names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            return str(names[0].value) if len(names) == 1 else None
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        of = {"dns": x509.DNSName, "email": x509.RFC822Name, "uri": x509.UniformResourceIdentifier}[kind]
        found = alternative.get_values_for_type(of)
        return str(found[0]) if found else None
