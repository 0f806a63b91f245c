"""API keys of the gateway's clients. A key is shown once, when it is made; what is kept is its hash."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from mainstay.store.base import Tx

TOPIC = "keys"
_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"
_SHAPE = re.compile(r"ms_([a-z0-9]{10})_[a-z0-9]{36}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key. Times are seconds since 1970."""

    id: str
    """The part of it that may be shown."""
    subject: str
    plan: str
    """Empty for the default plan."""
    note: str
    who: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    used_at: float | None

    def state(self, now: float) -> str:
        """Give `live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


@dataclass(frozen=True, slots=True)
class LiveKey:
    """What a gateway needs of a key."""

    id: str
    hash: str
    subject: str
    plan: str
    expires_at: float | None


def create(
    tx: Tx, subject: str, *, plan: str, note: str, who: str, now: float, expires_at: float | None = None
) -> tuple[str, ApiKey]:
    """Make a key; gives its text, this once only."""
    name = _letters(10)
    text = f"ms_{name}_{_letters(36)}"  # 176 bits, so one round of SHA-256 is enough
    made = ApiKey(name, subject, plan, note, who, now, expires_at, None, None)
    tx.run(
        "keys.create", id=name, hash=hash_of(text), subject=subject, plan=plan, note=note, who=who,
        created_at=now, expires_at=expires_at,
    )  # fmt: skip
    tx.signal(TOPIC)
    return text, made


def revoke(tx: Tx, id: str, now: float) -> bool:
    """End a key; false when it has ended so already, or never was."""
    ended = tx.run("keys.revoke", id=id, now=now) > 0
    tx.signal(TOPIC)
    return ended


def get(tx: Tx, id: str) -> ApiKey | None:
    """Give a key by the part of it that may be shown."""
    row = tx.one("keys.get", id=id)
    return None if row is None else ApiKey(**row)


def all_keys(tx: Tx) -> list[ApiKey]:
    """Give every key that there ever was, by whom it is for."""
    return [ApiKey(**row) for row in tx.all("keys.all")]


def live(tx: Tx, now: float) -> list[LiveKey]:
    """Give the keys that open something."""
    return [LiveKey(**row) for row in tx.all("keys.live", now=now)]


def used(tx: Tx, when: Mapping[str, float]) -> None:
    """Remember when keys were used last."""
    tx.many("keys.used", [{"id": name, "used_at": at} for name, at in when.items()])


def hash_of(text: str) -> str:
    """Give what is kept of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


def shown(text: str) -> str | None:
    """Give the part of a key that may be shown, of a whole key or of `ms_ID`; None when it is neither."""
    whole = _SHAPE.fullmatch(text)
    if whole:
        return whole[1]
    part = re.fullmatch(r"(?:ms_)?([a-z0-9]{10})", text)
    return part[1] if part else None


def _letters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))
