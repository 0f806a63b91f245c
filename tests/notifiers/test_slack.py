"""Slack: what its stand-in receives, within Slack's own limits."""

from __future__ import annotations

from typing import Any

import pytest

from mainstay.core.incident import EventKind, Severity
from mainstay.core.notifier import NotifyError
from mainstay.core.secret import Secret
from mainstay.notifiers.slack import Slack, escaped, payload
from tests.notifiers.messages import AT, message
from tests.servers.recorder import Recorder


def blocks(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for block in body["attachments"][0]["blocks"] if block["type"] == kind]


def test_a_message_has_a_headline_the_facts_and_a_link() -> None:
    body = payload(message(EventKind.RESOLVED), AT)
    assert body["blocks"][0]["text"]["text"] == "Resolved: Order API fails its http check"
    section, facts = blocks(body, "section")
    assert section["text"]["text"] == "503 Service Unavailable"
    assert [field["text"] for field in facts["fields"]] == [
        "*Service*\napi",
        "*Since*\n2026-05-28 20:26:39 UTC",
        "*Lasted*\n1m 15s",
    ]
    (actions,) = blocks(body, "actions")
    assert actions["elements"][0]["url"] == "https://status.example.com/incidents/incident-1"
    assert body["text"].startswith("Resolved: ")


@pytest.mark.parametrize(
    ("kind", "severity", "colour"),
    [
        (EventKind.OPENED, Severity.CRITICAL, "#cf222e"),
        (EventKind.OPENED, Severity.WARNING, "#bf8700"),
        (EventKind.OPENED, Severity.INFO, "#57606a"),
        (EventKind.ACKNOWLEDGED, Severity.CRITICAL, "#0969da"),
        (EventKind.RESOLVED, Severity.CRITICAL, "#1a7f37"),
    ],
)
def test_the_bar_has_the_colour_of_the_news(kind: EventKind, severity: Severity, colour: str) -> None:
    assert payload(message(kind, severity=severity), AT)["attachments"][0]["color"] == colour


def test_markup_is_escaped_and_nothing_is_too_long() -> None:
    body = payload(message(title="<!here> & " * 100, detail="<&>" * 5000, service="<b>" * 2000), AT)
    assert "<!here>" not in str(body)
    assert len(body["blocks"][0]["text"]["text"]) <= 150
    section, facts = blocks(body, "section")
    assert len(section["text"]["text"]) <= 3000
    assert all(len(field["text"]) <= 2000 for field in facts["fields"])


@pytest.mark.parametrize("limit", range(1, 12))
def test_an_escape_is_never_cut_in_two(limit: int) -> None:
    cut = escaped("&<>x&", limit)
    assert len(cut) <= limit
    assert cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").strip("x…") == ""


def test_without_a_link_and_a_detail_there_is_no_empty_block() -> None:
    body = payload(message(link=None, detail=""), AT)
    assert blocks(body, "actions") == []
    assert len(blocks(body, "section")) == 1


async def test_a_revoked_webhook_is_a_fault_of_the_set_up_not_of_the_message(recorder: Recorder) -> None:
    recorder.answer(404, b"no_service")
    with pytest.raises(NotifyError, match="replace the secret") as told:
        await Slack(url=Secret("slack_url", recorder.url)).send(message(), AT)
    assert not told.value.permanent


async def test_what_is_no_url_says_so() -> None:
    with pytest.raises(NotifyError, match="is not a URL"):
        await Slack(url=Secret("slack_url", "hooks.example.com")).send(message(), AT)
