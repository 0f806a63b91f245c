"""The one shape of what is answered to whoever does not get what he asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

WORD = re.compile(r"[a-z]+(_[a-z]+)*")


def problem(status: int, headers: Mapping[bytes, bytes], body: bytes) -> dict[str, Any]:
    """Give what an answer says; it must be a problem of RFC 9457, as the edge tells it."""
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"
    said: dict[str, Any] = json.loads(body)
    assert said.keys() - {"request_id"} == {"title", "status", "error", "detail"}
    assert (said["status"], said["title"]) == (status, HTTPStatus(status).phrase)
    assert WORD.fullmatch(said["error"])
    assert said["detail"]
    assert said.get("request_id", "").encode() == headers.get(b"x-request-id", b"")
    return said
