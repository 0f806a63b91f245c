"""One POST to a provider. Its URL may be a secret: no error ever shows it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mainstay.core.notifier import NotifyError
from mainstay.ports.answers import reason, retry_after

NEVER = frozenset({400, 413, 422})
"""Answers that mean that this very message can never be accepted. Others blame the channel, which may get well."""
MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """What the provider answered; `text` is its beginning."""

    status: int
    text: str


async def post_json(
    who: str,
    url: str,
    body: Mapping[str, Any],
    *,
    timeout: float,
    now: float,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send JSON; see `post`."""
    raw = json.dumps(body, ensure_ascii=False).encode()
    return await post(who, url, raw, timeout=timeout, now=now, headers=headers)


async def post(
    who: str, url: str, body: bytes, *, timeout: float, now: float, headers: Mapping[str, str] | None = None
) -> Reply:
    """Send a JSON body on a fresh connection; give the answer if its status is 2xx.

    `timeout` is in seconds and bounds the whole attempt. Raises `NotifyError`, permanent or with the provider's
    Retry-After. Proxies of the environment and redirects are not followed.
    """
    import aiohttp

    sent = {"Content-Type": "application/json", "User-Agent": "mainstay", **(headers or {})}
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=False) as session,
            session.post(url, data=body, headers=sent, allow_redirects=False) as answer,
        ):
            text = (await answer.content.read(MOST_BYTES)).decode("utf-8", "replace").strip()
            wish = retry_after(answer.headers.get("Retry-After"), now)
            status = answer.status
    except TimeoutError:
        raise NotifyError(f"{who} did not answer within {timeout:g} s") from None
    except aiohttp.ClientConnectorCertificateError as fault:  # which is a ValueError too
        why = getattr(fault.certificate_error, "verify_message", "") or "it is not trusted"
        raise NotifyError(f"{who} showed a certificate that does not hold: {why}") from None
    except (aiohttp.InvalidURL, ValueError):
        raise NotifyError(
            f"the URL of {who} is not a URL", hint="correct the configuration or the secret"
        ) from None
    except (aiohttp.ClientError, OSError) as fault:
        raise NotifyError(f"{who} cannot be reached: {reason(fault)}") from None
    if 200 <= status < 300:
        return Reply(status, text)
    raise refusal(who, status, text, wish)


def refusal(who: str, status: int, text: str, wish: float | None) -> NotifyError:
    """Make an error of an answer that is not 2xx."""
    said = f": {' '.join(text.split())[:200]}" if text and not text.startswith("<") else ""
    if status in NEVER:
        return NotifyError(f"{who} refused the message with {status}{said}", permanent=True)
    if status in (401, 403, 404, 410):
        return NotifyError(
            f"{who} answered {status}{said}", hint="its URL or key is not valid any more; replace the secret"
        )
    if 300 <= status < 400:
        return NotifyError(f"{who} answered with a redirect ({status})", hint="write the final address")
    return NotifyError(f"{who} answered {status}{said}", retry_after=wish)
