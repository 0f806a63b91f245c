"""PagerDuty, through its Events API version 2."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator

from mainstay.core.incident import EventKind
from mainstay.core.notifier import Message, Notifier, NotifyError
from mainstay.core.secret import Secret
from mainstay.notifiers.posting import post_json
from mainstay.notifiers.text import clip, fields, headline, iso, late_note

SUMMARY, DEDUP_KEY = 1024, 255
ACTIONS = {EventKind.ACKNOWLEDGED: "acknowledge", EventKind.RESOLVED: "resolve"}


def _check_url(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url!r} is not a URL; write it like https://events.eu.pagerduty.com/v2/enqueue")
    return url


class PagerDuty(Notifier, type="pagerduty", shorthand="routing_key"):
    """Wakes whoever is on call: one alert per incident, acknowledged and resolved by itself.

    Add an integration "Events API V2" to a service in PagerDuty and keep its integration key as a secret.
    """

    routing_key: Secret
    """The integration key."""
    url: Annotated[str, AfterValidator(_check_url)] = "https://events.pagerduty.com/v2/enqueue"
    """Where events go; accounts in Europe use `https://events.eu.pagerduty.com/v2/enqueue`."""

    async def send(self, message: Message, now: float) -> str:
        """Post it; PagerDuty answers 202 and the key of the alert."""
        body = payload(message, now, self.routing_key.reveal())
        try:
            reply = await post_json("PagerDuty", self.url, body, timeout=self.timeout, now=now)
        except NotifyError as error:
            raise _judged(error) from None
        return f"{reply.status} {_dedup_key(reply.text)}".strip()


def payload(message: Message, now: float, routing_key: str) -> dict[str, Any]:
    """Give the body of the request. The incident is the deduplication key, so a repeated event changes nothing."""
    action = ACTIONS.get(message.kind, "trigger")
    body: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": message.thread[:DEDUP_KEY],
    }
    if action != "trigger":
        return body
    details = {"detail": message.detail, **dict(fields(message))}
    if note := late_note(message, now):
        details["late"] = note
    body |= {
        "client": "mainstay",
        "payload": {
            "summary": clip(headline(message), SUMMARY),
            "source": message.service,
            "severity": message.severity.value,
            "timestamp": iso(message.event_at),
            "component": message.service,
            "class": str(message.facts.get("key", "")).partition(":")[0],
            "custom_details": details,
        },
    }
    if message.link:
        body |= {
            "client_url": message.link,
            "links": [{"href": message.link, "text": "The incident in mainstay"}],
        }
    return body


def _judged(error: NotifyError) -> NotifyError:
    """A wrong key is answered like a malformed event, but every message is good again once the key is."""
    if error.permanent and "routing_key" in error.what.lower().replace(" ", "_"):
        return NotifyError(
            "PagerDuty does not know the routing key",
            hint="put the integration key of an Events API V2 integration",
        )
    return error


def _dedup_key(text: str) -> str:
    try:
        return str(json.loads(text).get("dedup_key") or "")
    except (ValueError, AttributeError):
        return ""
