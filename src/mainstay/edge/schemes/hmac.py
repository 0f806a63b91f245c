"""Any sender that signs with a shared secret: where the signature stands, how it is written, what it covers."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal
from urllib.parse import quote

from pydantic import model_validator

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, HeaderName, Headers, Refused, Sending, Verified, word
from mainstay.edge.schemes.proof import (
    COMMA,
    COMMA_OR_SPACE,
    NO_MATCH,
    Algorithm,
    Encoding,
    digest,
    listed,
    matching,
    parameter,
    raw,
    seconds,
    spell,
)
from mainstay.edge.schemes.prover import Prover
from mainstay.edge.schemes.timed import Timed

PLACES = ("body", "timestamp", "id", "method", "path", "query", "url")
_PLACE = re.compile(r"\{([a-z]+)\}")
UNITS = {"seconds": 1, "milliseconds": 1000}


class HmacScheme(Timed, type="hmac", shorthand="header"):
    """A signature that both sides make with one secret (HMAC); the default.

    As it stands: base64 of HMAC-SHA256 over the body in `X-Webhook-Signature`. Several signatures may stand in the
    header, with commas or spaces between them: one that matches is enough.
    """

    needs_secret: ClassVar[bool] = True

    header: HeaderName = "X-Webhook-Signature"
    """The header with the signature."""
    parameter: str | None = None
    """The parameter of the address with the signature, for senders that cannot set headers, instead of `header`."""
    algorithm: Algorithm = "sha256"
    """The hash."""
    encoding: Encoding = "base64"
    """How the signature is written; `HEX` is in upper case. Padding of `base64url` may be missing."""
    prefix: str = ""
    """What stands before each signature, such as `sha256=`."""
    content: str = "{body}"
    """What is signed, such as `{timestamp}.{body}`; also `{id}`, `{method}`, `{path}`, `{query}` and `{url}`."""
    timestamp: HeaderName | None = None
    """The header with the time of signing; it must be part of `content`. Without it a copy is valid for ever."""
    unit: Literal["seconds", "milliseconds"] = "seconds"
    """What the time is counted in, since 1970."""
    id: HeaderName | None = None
    """The header with the event's id; without it events are known by their body."""
    type: HeaderName | None = None
    """The header with the event's type."""
    key: Literal["text", "base64", "hex"] = "text"
    """How the secret is written."""

    @model_validator(mode="after")
    def _whole(self) -> "HmacScheme":
        places = _PLACE.findall(self.content)
        if unknown := [each for each in places if each not in PLACES]:
            raise ValueError(f"content: {{{unknown[0]}}} is not known; there are {', '.join(PLACES)}")
        if "body" not in places:
            raise ValueError("content: without {body} anybody could change what was signed")
        if (self.timestamp is None) == ("timestamp" in places):
            raise ValueError(
                "a time needs both: `timestamp` names its header, and {timestamp} is in `content`"
            )
        if "id" in places and self.id is None:
            raise ValueError("content: {id} needs `id`, the header that it stands in")
        if self.parameter is not None and {"query", "url"} & set(places):
            raise ValueError("content: a signature in the address cannot cover the address")
        return self

    @property
    def life(self) -> float | None:
        """For how many seconds a copy is taken for genuine."""
        return super().life if self.timestamp else None

    def fault(self, secret: str) -> str | None:
        """Say whether the secret is written as `key` says."""
        return None if self._key(secret) else f"it is not {self.key}"

    def prover(self, secrets: Sequence[Secret]) -> Prover | None:
        """Give what proves signatures over the body alone."""
        if self.content != "{body}" or self.parameter is not None:
            return None
        made = Prover(self.header, self.prefix, self.encoding, self.algorithm, self.id, self.type)
        for secret in secrets:
            if key := self._key(secret.reveal()):
                made.add(secret.name, key)
        return made

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the signatures with those of every secret."""
        if (simple := self.prover(secrets)) is not None:
            return simple.verify(request)
        given = self._given(request)
        if not given:
            place = f"parameter {self.parameter}" if self.parameter else f"header {self.header}"
            return Refused(f"no signature in the {place}")
        stamp = request.headers.get(self.timestamp) if self.timestamp else None
        content = self._content(request, stamp or "")
        found = matching(secrets, given, lambda secret: self._signatures(secret, content))
        if found is None:
            return NO_MATCH
        if self.timestamp is None:
            return Verified(found.name)
        sent = seconds(stamp, UNITS[self.unit])
        if sent is None:
            return Refused(f"no time in the header {self.timestamp}")
        return self.stale(sent, now) or Verified(found.name, sent)

    def _given(self, request: Delivery) -> list[bytes]:
        if self.parameter is None:
            found = listed(
                request.headers.get(self.header) or "", COMMA if " " in self.prefix else COMMA_OR_SPACE
            )
        else:
            value = parameter(request.query, self.parameter)
            found = [value] if value else []
        return [raw(one) for one in found]

    def _content(self, request: Delivery, stamp: str) -> bytes:
        if self.content == "{body}":
            return request.body
        values = {
            "body": request.body,
            "timestamp": raw(stamp),
            "id": raw((request.headers.get(self.id) if self.id else None) or ""),
            "method": raw(request.method),
            "path": raw(request.path),
            "query": raw(request.query),
            "url": raw(request.url),
        }
        pieces = _PLACE.split(self.content)  # text and names take turns
        return b"".join(values[one] if at % 2 else one.encode() for at, one in enumerate(pieces))

    def _signatures(self, secret: Secret, content: bytes) -> list[bytes]:
        key = self._key(secret.reveal())
        if not key:
            return []
        text = self.prefix.encode() + spell(digest(key, content, self.algorithm), self.encoding)
        return [text, text.rstrip(b"=")] if self.encoding == "base64url" else [text]

    def _key(self, secret: str) -> bytes:
        try:
            if self.key == "base64":
                return base64.b64decode(secret, validate=True)
            return bytes.fromhex(secret) if self.key == "hex" else secret.encode()
        except (ValueError, binascii.Error):
            return b""

    def event_id(self, request: Delivery) -> str | None:
        """Give what the header `id` says."""
        return word(request.headers.get(self.id)) if self.id else None

    def event_type(self, request: Delivery) -> str | None:
        """Give what the header `type` says."""
        return word(request.headers.get(self.type)) if self.type else None

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the headers; a signature that belongs into the address is added by `outgoing`."""
        headers, signature = self._signed(body, secret, now, id, type, url)
        return headers if self.parameter else [*headers, (self.header, signature)]

    def outgoing(self, sending: Sending, secret: Secret, now: float) -> Sending:
        """Add the headers, or the parameter."""
        headers, signature = self._signed(sending.body, secret, now, sending.id, sending.type, sending.url)
        if self.parameter is None:
            return sending.plus([*headers, (self.header, signature)])
        joint = "&" if "?" in sending.url else "?"
        url = f"{sending.url}{joint}{quote(self.parameter)}={quote(signature, safe='')}"
        return replace(sending, url=url).plus(headers)

    def _signed(
        self, body: bytes, secret: Secret, now: float, id: str, type: str | None, url: str
    ) -> tuple[list[tuple[str, str]], str]:
        stamp = str(int(now * UNITS[self.unit]))
        named = [(self.timestamp, stamp), (self.id, id), (self.type, type)]
        headers = [(name, value) for name, value in named if name and value]
        path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
        request = Delivery("POST", f"/{path}", query, Headers.of(headers), body, "", url)
        return headers, self._signatures(secret, self._content(request, stamp))[0].decode()
