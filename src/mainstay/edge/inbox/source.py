"""One sender, ready for work: what its requests are judged by, and what is kept of them."""

import hashlib

from mainstay.edge.inbox.headers import MASKED, joined
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.schemes.base import LARGEST_DOCUMENT, Delivery, Refused, Reply, Scheme, Verified
from mainstay.edge.schemes.networks import among
from mainstay.store.inbox import Arrival, key_of


class Source:
    """A configured sender."""

    def __init__(self, name: str, settings: IntakeSettings) -> None:
        self.name = name
        self.settings = settings
        self.max_body = settings.max_body
        self._scheme = settings.scheme
        self._asks = type(settings.scheme).challenge is not Scheme.challenge
        values = [secret.reveal() for secret in settings.secrets]
        # What is no ASCII comes as the bytes of UTF-8, or of ISO 8859-1.
        spellings = [value.encode() for value in values]
        spellings += [value.encode("latin-1") for value in values if max(value, default="") < "\u0100"]
        self._secrets = [secret for secret in dict.fromkeys(spellings) if secret]
        self.methods: tuple[bytes, ...] = (b"GET", b"POST") if settings.scheme.handshakes else (b"POST",)
        """What may be done here."""
        self._prover = settings.scheme.prover(settings.secrets)
        self.signs_url = self._prover is None
        """Whether the address that the sender called may be part of what is signed."""
        self._everybody = not settings.allow_from
        self._window = settings.dedup
        self._by_id = settings.dedup_by == "id"
        self._first_state = settings.first_state
        self._check_json = settings.check_json
        self._ordered = settings.order_by is not None

    def lets_in(self, peer: str) -> bool:
        """Whether requests may come from an address."""
        return self._everybody or among(peer, self.settings.allow_from)

    def handshake(self, request: Delivery, now: float) -> Reply | None:
        """Answer a handshake; None when it is none."""
        return self._scheme.challenge(request, self.settings.secrets, now) if self._asks else None

    def verify(self, request: Delivery, now: float) -> Verified | Refused:
        """Judge a request."""
        if self._prover is not None:
            return self._prover.verify(request)
        return self._scheme.verify(request, self.settings.secrets, now)

    def malformed(self, request: Delivery) -> bool:
        """Whether a body says that it is JSON and is not. One too large to be looked into is taken for what it says."""
        if not self._check_json or not _says_json(request.headers.get("content-type")):
            return False
        body = request.body
        return len(body) <= LARGEST_DOCUMENT and request.document() is None and body.strip() != b"null"

    def arrival(self, request: Delivery, verified: Verified, received_at: float, id: str) -> Arrival:
        """Make what is kept of a request."""
        digest = hashlib.sha256(request.body).hexdigest()
        if self._prover is not None:
            event_id, kind = self._prover.event_id(request), self._prover.event_type(request)
        else:
            event_id, kind = self._scheme.event_id(request), self._scheme.event_type(request)
        order = self.settings.order_key(request.headers, request.inside) if self._ordered else None
        return Arrival(
            id,
            self.name,
            received_at,
            "",
            request.body,
            digest,
            request.peer,
            self._without_secrets(request.query.encode("latin-1")).decode("latin-1") if request.query else "",
            None,
            verified.secret,
            verified.sent_at,
            event_id,
            kind,
            order,
            key_of(event_id if self._by_id else None, digest) if self._window else None,
            self._window,
            self._first_state,
            self._without_secrets(joined(request.headers.pairs)),
        )

    def _without_secrets(self, text: bytes) -> bytes:
        """Mask secrets that the sender sent as they are."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASKED.encode())
        return text


def _says_json(kind: str | None) -> bool:
    if kind is None or kind == "application/json":
        return kind is not None
    name = kind.partition(";")[0].strip().lower()
    return name == "application/json" or name.endswith("+json")
