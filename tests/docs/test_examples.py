"""Smaller things that the pages show: they are tried, not believed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mainstay.core.standard_webhooks import key_of, signature, signed
from tests.docs.page import steps
from tests.helpers import ROOT


def python(page: str) -> dict[str, Any]:
    """The names that a page's one block of Python makes."""
    [block] = [step for step in steps(ROOT / page, {}) if step.language == "python"]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.text, block.where, "exec", dont_inherit=True), names)  # noqa: S102  # our own page
    return names


@pytest.mark.parametrize(
    ("secret", "text"), [("any long text", "any long text"), ("whsec_c2VjcmV0", "secret")]
)
def test_the_receiver_of_the_page_knows_what_is_genuine(secret: str, text: str) -> None:
    genuine = python("docs/how-to/be-told.md")["genuine"]
    body = b'{"type":"incident.opened"}'
    headers = {"webhook-id": "key", "webhook-timestamp": "1700000000"}
    headers["webhook-signature"] = signature(key_of(secret), signed(b"key", b"1700000000", body))
    assert genuine(text, headers, body)
    assert not genuine(text, headers, body + b" ")
    assert not genuine("another", headers, body)
    assert not genuine(text, {**headers, "webhook-id": "other"}, body)


def test_every_metric_that_a_page_names_is_there() -> None:
    known = set(re.findall(r"`(mainstay_\w+)`", (ROOT / "docs/reference/metrics.md").read_text()))
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.name != "metrics.md"]
    named = {name for path in pages for name in re.findall(r"\bmainstay_[a-z]+_\w+", path.read_text())}
    assert "mainstay_backup_proven_age_seconds" in named
    assert named <= known
