"""What the answers and the faults of an HTTP client mean, for everybody who posts something somewhere."""

import errno
import os

_FAULTS = {
    "ServerDisconnectedError": "it closed the connection",
    "ClientConnectorError": "nobody answers there",
    "ClientOSError": "the connection broke",
    "ClientPayloadError": "its answer broke off",
    "ConnectionResetError": "it reset the connection",
}


def retry_after(value: str | None, now: float) -> float | None:
    """Read the header Retry-After: seconds, or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    import email.utils

    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def reason(fault: BaseException) -> str:
    """Say in the system's words why somebody cannot be reached; never with an address, which may be a secret."""
    cause = getattr(fault, "os_error", fault)
    number = getattr(cause, "errno", None)
    if (
        isinstance(number, int) and number in errno.errorcode
    ):  # the event loop's own words would name the address
        return os.strerror(number)
    words = getattr(cause, "strerror", None)
    if words:
        return str(words)
    return _FAULTS.get(type(fault).__name__, type(fault).__name__)
