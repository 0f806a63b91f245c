"""What a source's requests are proven with, made once out of its scheme and secrets, so that each costs little.

It says what the scheme itself would say; one that has no such thing is asked itself.
"""

import hashlib
import hmac

from mainstay.edge.schemes.base import Delivery, Refused, Verified
from mainstay.edge.schemes.proof import COMMA, COMMA_OR_SPACE, NO_MATCH, Encoding, keyed, listed, raw, spell
from mainstay.edge.schemes.request import word


class Prover:
    """A signature over the body, and nothing else, in a header."""

    def __init__(
        self, header: str, prefix: str, encoding: Encoding, algorithm: str, id: str | None, type: str | None
    ) -> None:
        self._header = header
        self._prefix = prefix.encode()
        self._separators = COMMA if " " in prefix else COMMA_OR_SPACE
        self._encoding: Encoding = encoding
        self._algorithm = algorithm
        self._id = id
        self._type = type
        self._secrets: list[tuple[hashlib._Hash, hashlib._Hash, Verified]] = []
        """The two hashes of each that have taken in the key, and only have to be copied."""
        self._missing = Refused(f"no signature in the header {header}")

    def add(self, name: str, key: bytes) -> None:
        """Take a secret in; of several that match the last is named."""
        inner, outer = keyed(key, self._algorithm)
        self._secrets.append((inner, outer, Verified(name)))

    def verify(self, request: Delivery) -> Verified | Refused:
        """Compare the signatures with those of every secret, in constant time."""
        text = request.headers.get(self._header)
        if text is None:
            return self._missing
        given = [raw(one) for one in listed(text, self._separators)]
        if not given:
            return self._missing
        found: Verified | None = None
        for begun, ending, verified in self._secrets:
            inner, outer = begun.copy(), ending.copy()
            inner.update(request.body)
            outer.update(inner.digest())
            right = self._prefix + spell(outer.digest(), self._encoding)
            for one in given:
                if hmac.compare_digest(right, one):
                    found = verified
            if self._encoding == "base64url" and right.endswith(b"="):
                right = right.rstrip(b"=")
                for one in given:
                    if hmac.compare_digest(right, one):
                        found = verified
        return NO_MATCH if found is None else found

    def event_id(self, request: Delivery) -> str | None:
        """Give what the sender calls the event."""
        return None if self._id is None else word(request.headers.get(self._id))

    def event_type(self, request: Delivery) -> str | None:
        """Give what kind of event it is."""
        return None if self._type is None else word(request.headers.get(self._type))
