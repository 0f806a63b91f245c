"""Who may log in, and who is logged in. Neither a password nor a session's token is ever kept as it is."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from mainstay.store.base import Tx

ADMIN = "admin"
_COST, _BLOCK, _LANES = 2**14, 8, 1  # 16 MB and about 50 ms a guess
_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Login:
    """An open login: who, and the token which every form has to send back."""

    token_hash: str
    account: str
    csrf: str
    created_at: float
    seen_at: float


def ensure_admin(tx: Tx, now: float) -> str | None:
    """Make the first account. Give its fresh password, this once only, or None when there is an account already."""
    return None if tx.one("accounts.any") else reset_password(tx, ADMIN, now)


def reset_password(tx: Tx, name: str, now: float) -> str:
    """Give an account a fresh password, make it if it is not there, and end its logins."""
    password = new_password()
    tx.run("accounts.put", name=name, password=keep_password(password), now=now)
    tx.run("accounts.close_all", account=name)
    return password


def new_password() -> str:
    """Make a password of 98 bits in four groups, without letters that are mistaken for one another."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(20))
    return "-".join(letters[at : at + 5] for at in range(0, 20, 5))


def keep_password(password: str) -> str:
    """Give the form in which a password is kept: scrypt with its parameters and salt (RFC 7914)."""
    salt = secrets.token_bytes(16)
    return f"scrypt${_COST}${_BLOCK}${_LANES}${_text(salt)}${_text(_scrypt(password, salt, _COST, _BLOCK, _LANES))}"


def password_fits(kept: str | None, password: str) -> bool:
    """Compare in constant time; without an account (`kept` is None) it takes just as long. Call it in a thread."""
    _, cost, block, lanes, salt, wanted = (kept or _NOBODY).split("$")
    found = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, base64.b64decode(wanted)) and kept is not None


def kept_password(tx: Tx, name: str) -> str | None:
    """Give the kept form of an account's password, or None when there is no such account."""
    row = tx.one("accounts.password", name=name)
    return None if row is None else str(row["password"])


def open_login(tx: Tx, account: str, now: float, lifetime: float) -> tuple[str, Login]:
    """Log an account in; give the token for the browser. Logins older than `lifetime` seconds are forgotten."""
    token = secrets.token_urlsafe(32)
    login = Login(hash_token(token), account, secrets.token_urlsafe(24), now, now)
    tx.run("accounts.expire", oldest=now - lifetime)
    tx.run("accounts.open", token_hash=login.token_hash, account=account, csrf=login.csrf, now=now)
    return token, login


def find_login(tx: Tx, token: str, now: float, lifetime: float) -> Login | None:
    """Give the login that a token opens, or None when there is none or it is older than `lifetime` seconds."""
    row = tx.one("accounts.find", token_hash=hash_token(token), oldest=now - lifetime)
    return None if row is None else Login(**row)


def touch_login(tx: Tx, token_hash: str, now: float) -> None:
    """Remember that a login is in use."""
    tx.run("accounts.seen", token_hash=token_hash, now=now)


def close_login(tx: Tx, token_hash: str) -> None:
    """Log out."""
    tx.run("accounts.close", token_hash=token_hash)


def hash_token(token: str) -> str:
    """Give what is kept of a token. It has 256 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=256 * cost * block, dklen=32
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


_NOBODY = f"scrypt${_COST}${_BLOCK}${_LANES}${_text(bytes(16))}${_text(bytes(32))}"
