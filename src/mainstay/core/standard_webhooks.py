"""How a webhook is signed (Standard Webhooks 1.0), for those who send one and for those who get one."""

import base64
import hmac

PREFIX = "whsec_"
"""What a shared secret begins with that is written as base64."""


def key_of(secret: str) -> bytes:
    """Give the key that a secret stands for; raises `ValueError` when `whsec_` is not followed by base64."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:  # which a binascii.Error is, too
        raise ValueError(f"the secret begins with {PREFIX} but is not base64") from None


def signed(id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """Give what is signed; `timestamp` is in whole seconds since 1970."""
    return b".".join((id, timestamp, body))


def signature(key: bytes, content: bytes) -> str:
    """Sign what `signed` gives, by HMAC-SHA256."""
    return f"v1,{base64.b64encode(hmac.digest(key, content, 'sha256')).decode()}"
