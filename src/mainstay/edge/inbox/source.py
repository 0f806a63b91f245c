"""One sender, ready for work: what its requests are judged by, and what is kept of them."""

import hashlib
from json.encoder import encode_basestring_ascii as quoted

from mainstay.edge.http.exchange import Header
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.schemes.base import LARGEST_DOCUMENT, Delivery, Refused, Reply, Scheme, Verified
from mainstay.edge.schemes.networks import among
from mainstay.store.inbox import Arrival, key_of

MASKED = "********"
PRIVATE = frozenset({b"authorization", b"proxy-authorization", b"cookie"})
"""Headers that would let their reader in: their values are never kept."""
STEADY = frozenset(
    {b"accept", b"accept-encoding", b"connection", b"content-length", b"content-type", b"host", b"user-agent"}
)
"""Headers whose values are the same for many requests; those of signatures never come again."""
MOST_KNOWN, LONGEST_KNOWN = 4096, 100


class Source:
    """A configured sender."""

    def __init__(self, name: str, settings: IntakeSettings) -> None:
        self.name = name
        self.settings = settings
        self.max_body = settings.max_body
        self._scheme = settings.scheme
        self._asks = type(settings.scheme).challenge is not Scheme.challenge
        values = [secret.reveal() for secret in settings.secrets]
        # What is no ASCII comes as the bytes of UTF-8, which headers are read as something else.
        spellings = dict.fromkeys([*values, *(value.encode().decode("latin-1") for value in values)])
        self._secrets = [quoted(value)[1:-1] for value in spellings]
        self._ordered = settings.order_by is not None

    @property
    def methods(self) -> tuple[bytes, ...]:
        """What may be done here."""
        return (b"GET", b"POST") if self._scheme.handshakes else (b"POST",)

    def lets_in(self, peer: str) -> bool:
        """Whether requests may come from an address."""
        return not self.settings.allow_from or among(peer, self.settings.allow_from)

    def handshake(self, request: Delivery, now: float) -> Reply | None:
        """Answer a handshake; None when it is none."""
        return self._scheme.challenge(request, self.settings.secrets, now) if self._asks else None

    def verify(self, request: Delivery, now: float) -> Verified | Refused:
        """Judge a request."""
        return self._scheme.verify(request, self.settings.secrets, now)

    def malformed(self, request: Delivery) -> bool:
        """Whether a body says that it is JSON and is not. One too large to be looked into is taken for what it says."""
        if not self.settings.check_json or not _says_json(request.headers.get("content-type")):
            return False
        body = request.body
        return len(body) <= LARGEST_DOCUMENT and request.document() is None and body.strip() != b"null"

    def arrival(self, request: Delivery, verified: Verified, received_at: float, id: str) -> Arrival:
        """Make what is kept of a request."""
        settings, scheme = self.settings, self._scheme
        digest = hashlib.sha256(request.body).hexdigest()
        event_id = scheme.event_id(request)
        order = settings.order_key(request.headers, request.inside) if self._ordered else None
        known_by = event_id if settings.dedup_by == "id" else None
        return Arrival(
            id,
            self.name,
            received_at,
            self._without_secrets(written(request.headers.pairs)),
            request.body,
            digest,
            request.peer,
            self._without_secrets(request.query) if request.query else "",
            request.headers.get("user-agent"),
            verified.secret,
            verified.sent_at,
            event_id,
            scheme.event_type(request),
            order,
            key_of(known_by, digest) if settings.dedup else None,
            settings.dedup,
            settings.first_state,
        )

    def _without_secrets(self, text: str) -> str:
        """Mask secrets that the sender sent as they are."""
        for secret in self._secrets:
            if secret and secret in text:
                text = text.replace(secret, MASKED)
        return text


def _says_json(kind: str | None) -> bool:
    if kind is None:
        return False
    name = kind.partition(";")[0].strip().lower()
    return name == "application/json" or name.endswith("+json")


def written(headers: list[Header]) -> str:
    """Write headers as JSON; the values of private ones are masked."""
    pieces = [_known.get(pair) or _learned(pair) for pair in headers]
    return f"[{','.join(pieces)}]"


def _learned(pair: Header) -> str:
    """Write one header. What comes with every request is kept for the next."""
    name, value = pair
    text = MASKED if name in PRIVATE else value.decode("latin-1")
    piece = f"[{quoted(name.decode('latin-1'))},{quoted(text)}]"
    if name in STEADY and len(value) <= LONGEST_KNOWN:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[pair] = piece
    return piece


_known: dict[Header, str] = {}
