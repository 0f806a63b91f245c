"""Slack, through an incoming webhook."""

from typing import Any

from mainstay.core.incident import EventKind, Severity
from mainstay.core.notifier import Message, Notifier
from mainstay.core.secret import Secret
from mainstay.notifiers.posting import post_json
from mainstay.notifiers.text import clip, fields, headline, late_note, one_line

HEADER, SECTION, FIELD, LINK = 150, 3000, 2000, 3000
"""The most characters that Slack takes in each kind of block, after escaping."""
FIELDS = 10


class Slack(Notifier, type="slack", shorthand="url"):
    """A message with a coloured bar, the facts and a link to the incident.

    Make an incoming webhook in Slack (api.slack.com, Your Apps, Incoming Webhooks) and keep its URL as a secret: who
    knows it can write into the channel.
    """

    url: Secret
    """The address of the incoming webhook."""

    async def send(self, message: Message, now: float) -> str:
        """Post it; Slack answers `ok`."""
        body = payload(message, now)
        reply = await post_json("Slack", self.url.reveal(), body, timeout=self.timeout, now=now)
        return f"{reply.status} {clip(reply.text, 100)}".strip()


def payload(message: Message, now: float) -> dict[str, Any]:
    """Give the body of the request: Block Kit, with `text` for notifications and old clients."""
    title = headline(message)
    attachment = {
        "color": _colour(message),
        "fallback": escaped(title, SECTION),
        "blocks": _blocks(message, now),
    }
    header = {
        "type": "header",
        "text": {"type": "plain_text", "text": escaped(title, HEADER), "emoji": False},
    }
    spoken = f"{title}\n{message.detail}"
    return {
        "text": escaped(spoken, SECTION),
        "unfurl_links": False,
        "blocks": [header],
        "attachments": [attachment],
    }


def escaped(text: str, limit: int) -> str:
    """Escape what Slack takes for markup, and cut to `limit` characters without cutting an escape in two."""
    table = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    parts = [table.get(letter, letter) for letter in text]
    if sum(map(len, parts)) <= limit:
        return "".join(parts)
    room, kept = limit - 1, []
    for part in parts:
        room -= len(part)
        if room < 0:
            break
        kept.append(part)
    return "".join(kept) + "…"


def _blocks(message: Message, now: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if message.detail:
        found.append(_section(message.detail))
    found.append({"type": "section", "fields": [_field(*field) for field in fields(message)[:FIELDS]]})
    if note := late_note(message, now):
        found.append({"type": "context", "elements": [{"type": "mrkdwn", "text": escaped(note, FIELD)}]})
    if message.link and len(message.link) <= LINK:
        label = {"type": "plain_text", "text": "Open the incident", "emoji": False}
        found.append(
            {"type": "actions", "elements": [{"type": "button", "text": label, "url": message.link}]}
        )
    return found


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": escaped(text, SECTION)}}


def _field(name: str, value: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": f"*{name}*\n{escaped(one_line(value), FIELD - len(name) - 3)}"}


def _colour(message: Message) -> str:
    if message.kind is EventKind.RESOLVED:
        return "#1a7f37"
    if message.kind is EventKind.ACKNOWLEDGED:
        return "#0969da"
    return {Severity.CRITICAL: "#cf222e", Severity.WARNING: "#bf8700", Severity.INFO: "#57606a"}[
        message.severity
    ]
