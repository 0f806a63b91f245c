"""Any program that takes HTTP requests: signed JSON as in Standard Webhooks."""

import json
from typing import Any

from mainstay.core.notifier import Message, Notifier, NotifyError
from mainstay.core.secret import Secret, SecretUrl
from mainstay.core.standard_webhooks import key_of, signature, signed
from mainstay.notifiers.posting import post
from mainstay.notifiers.text import clip, headline, iso


class Webhook(Notifier, type="webhook", shorthand="url"):
    """Posts JSON to a URL, signed as Standard Webhooks 1.0 says, so that the receiver can tell that it is genuine.

    `webhook-id` is the same for every attempt of a message: a receiver that has seen it need not act again.
    """

    url: SecretUrl
    """Where to post to."""
    secret: Secret | None = None
    """Signs the requests: `whsec_` and base64, or any other text. Unsigned when left out."""
    headers: dict[str, str | Secret] = {}
    """Further headers, such as a bearer token."""

    async def send(self, message: Message, now: float) -> str:
        """Post it; every 2xx is fine."""
        body = json.dumps(payload(message), ensure_ascii=False).encode()
        headers = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in self.headers.items()
        }
        stamp = str(int(now))
        headers |= {"webhook-id": message.key, "webhook-timestamp": stamp}
        if self.secret is not None:
            content = signed(message.key.encode(), stamp.encode(), body)
            headers["webhook-signature"] = signature(_key(self.secret), content)
        reply = await post(
            "the webhook's receiver", self.url.reveal(), body, timeout=self.timeout, now=now, headers=headers
        )
        return f"{reply.status} {clip(reply.text, 100)}".strip()


def payload(message: Message) -> dict[str, Any]:
    """Give the body; `timestamp` is when it happened, however late it is told."""
    return {
        "type": f"incident.{message.kind.value}",
        "timestamp": iso(message.event_at),
        "data": {
            "incident": message.thread,
            "severity": message.severity.value,
            "service": message.service,
            "headline": headline(message),
            "title": message.title,
            "detail": message.detail,
            "link": message.link,
            "facts": message.facts,
        },
    }


def _key(secret: Secret) -> bytes:
    try:
        return key_of(secret.reveal())
    except ValueError:
        raise NotifyError(
            "the webhook's secret begins with whsec_ but is not base64",
            hint="copy it whole, or leave whsec_ out",
        ) from None
