"""Twilio: calls and messages."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from hmac import compare_digest
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import CannotSign, Delivery, Refused, Scheme, Sending, Verified
from mainstay.edge.schemes.proof import NO_MATCH, digest, matching, parameter, raw, spell

ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
MOST_FIELDS = 1000
BODY_HASH = "bodySHA256"


class Twilio(Scheme, type="twilio"):
    """`X-Twilio-Signature`: base64 of HMAC-SHA1 over the URL that Twilio calls and over a form's names and values.

    The secret is the auth token, or a shared key. Bodies of JSON are bound by `bodySHA256` in the URL. Only POST is
    taken, so choose it in Twilio's console. Neither a time nor the id is signed.
    """

    id_header: ClassVar[str] = "I-Twilio-Idempotency-Token"

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the signature with those of every secret, for the URL with and without its port."""
        given = request.headers.get("X-Twilio-Signature")
        if given is None:
            return Refused("no signature in the header X-Twilio-Signature")
        fields = self._signed_fields(request)
        if isinstance(fields, Refused):
            return fields
        algorithm = _algorithm(request.headers.get("X-Twilio-Webhooks-Signature-Settings") or "")
        contents = [raw_url + fields for raw_url in _spellings(request.url)]
        found = matching(
            secrets,
            [raw(given)],
            lambda secret: [_signature(secret, content, algorithm) for content in contents],
        )
        return Verified(found.name) if found else NO_MATCH

    def _signed_fields(self, request: Delivery) -> bytes | Refused:
        """Give the form's part of what is signed; for other bodies nothing, once the URL's hash has bound them."""
        hashed = parameter(request.query, BODY_HASH)
        if hashed is not None:
            right = compare_digest(sha256(request.body).hexdigest().encode(), raw(hashed))
            return b"" if right else Refused(f"the body is not that of {BODY_HASH}")
        kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if request.body and kind != "application/x-www-form-urlencoded":
            return Refused(f"the body is no form, and the URL has no {BODY_HASH}: nothing of it is signed")
        return form(request.body)

    def event_type(self, request: Delivery) -> str | None:
        """Twilio does not say; each kind of event has a URL of its own."""
        return None

    def example(self, id: str, type: str | None, now: float) -> bytes:
        """Make the body of a test event."""
        return f"MessageSid=SM{sha256(id.encode()).hexdigest()[:32]}&Body=test".encode()

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the headers; a form unless the URL holds the body's hash."""
        is_form = parameter(urlsplit(url).query, BODY_HASH) is None
        fields = form(body) if is_form else b""
        if isinstance(fields, Refused):
            raise CannotSign(fields.why)
        content = "application/x-www-form-urlencoded" if is_form else "application/json"
        signature = _signature(secret, raw(url) + fields, "sha1").decode()
        return [*self.named(id, type), ("Content-Type", content), ("X-Twilio-Signature", signature)]

    def outgoing(self, sending: Sending, secret: Secret, now: float) -> Sending:
        """Make a request; JSON is bound to the URL by its hash."""
        if sending.body.lstrip()[:1] in (b"{", b"["):
            joint = "&" if "?" in sending.url else "?"
            sending = replace(
                sending, url=f"{sending.url}{joint}{BODY_HASH}={sha256(sending.body).hexdigest()}"
            )
        return super().outgoing(sending, secret, now)


def form(body: bytes) -> bytes | Refused:
    """Join a form's names and values as Twilio does: by name, each different value once."""
    try:
        pairs = parse_qsl(
            body.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS, encoding="latin-1"
        )
    except ValueError:
        return Refused(f"the form has more than {MOST_FIELDS} fields")
    return b"".join(raw(name) + raw(value) for name, value in sorted(set(pairs)))


def _algorithm(settings: str) -> str:
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm":
            return ALGORITHMS.get(value.strip().upper(), "sha1")
    return "sha1"


def _signature(secret: Secret, content: bytes, algorithm: str) -> bytes:
    return spell(digest(secret.reveal().encode(), content, algorithm), "base64")


def _spellings(url: str) -> list[bytes]:
    """Give the URL as it is, without its port, and with the usual one: Twilio is not consistent."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return [raw(url)]
    bare = f"[{host}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    places = dict.fromkeys((parts.netloc, bare, f"{bare}:{port or usual}"))
    return [raw(urlunsplit(parts._replace(netloc=place))) for place in places]
