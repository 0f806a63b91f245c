"""TLS as a client sees it: contexts that are made once, and faults in words."""

import functools
import ssl
from datetime import UTC, datetime
from pathlib import Path

from mainstay.core.check import Answer
from mainstay.core.errors import MainstayError

_EXPIRED = 10
_NOT_YET = 9
_SELF_SIGNED = {18, 19}
_UNKNOWN_AUTHORITY = {2, 20, 21}
_WRONG_NAME = {62, 63, 64}


def context(verify: bool = True, ca: Path | None = None) -> ssl.SSLContext:
    """Give a client context; `ca` is a PEM file that is trusted instead of the system's authorities.

    Contexts are kept, since loading the system's authorities takes longer than a whole check, until the file changes.
    """
    if not verify:
        return _blind()
    source = ca or _system_authorities()
    try:
        changed = source.stat().st_mtime_ns if source else 0
        return _trusting(ca, changed)
    except (OSError, ssl.SSLError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise MainstayError(
            f"cannot read the authorities in {source}: {reason}", hint="ca is a PEM file"
        ) from None


def _system_authorities() -> Path | None:
    file = ssl.get_default_verify_paths().cafile
    return Path(file) if file else None


@functools.lru_cache(maxsize=64)
def _trusting(ca: Path | None, changed: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca) if ca else None)


@functools.cache
def _blind() -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def explain(fault: ssl.SSLError, name: str, not_after: float | None = None) -> Answer:
    """Say what is wrong with the TLS of `name`; `not_after` is when its certificate ends, if that is known."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return Answer.fail(_distrust(fault, name, not_after), cause="certificate")
    reason = (getattr(fault, "reason", None) or str(fault)).replace("_", " ").lower()
    if "wrong version number" in reason or "http request" in reason:
        reason = "it does not speak TLS on this port"
    return Answer.fail(f"no TLS with {name}: {reason}", cause="tls")


def _distrust(fault: ssl.SSLCertVerificationError, name: str, not_after: float | None) -> str:
    code = fault.verify_code
    if code == _EXPIRED:
        when = f" on {day(not_after)}" if not_after is not None else ""
        return f"the certificate of {name} expired{when}"
    if code == _NOT_YET:
        return f"the certificate of {name} is not valid yet"
    if code in _SELF_SIGNED:
        return f"the certificate of {name} is signed by itself or by an authority that is not trusted"
    if code in _UNKNOWN_AUTHORITY:
        return f"the certificate of {name} is signed by an authority that is not trusted, or the chain is incomplete"
    if code in _WRONG_NAME:
        return f"the certificate is not for {name}"
    return f"the certificate of {name} is not trusted: {fault.verify_message}"


def day(moment: float) -> str:
    """Write a moment as people read expiry dates: `2026-11-03 12:00 UTC`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
