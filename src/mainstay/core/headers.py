"""Headers that people write into the configuration."""

import re

from mainstay.core.secret import Secret

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_headers(headers: dict[str, str | Secret]) -> dict[str, str | Secret]:
    """Give them back; raises `ValueError` for a name that is no token (RFC 9110, 5.6.2) or a value of several lines."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if isinstance(value, str) and re.search(r"[\r\n\0]", value):
            raise ValueError(f"the header {name} has a line break in it")
    return headers
