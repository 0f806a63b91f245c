"""The signed webhook: a receiver that knows the secret can tell that it is genuine."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from mainstay.core.notifier import NotifyError
from mainstay.core.secret import Secret, SecretUrl
from mainstay.notifiers.webhook import Webhook
from tests.notifiers.messages import AT, message
from tests.servers.recorder import Recorder

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("secret", "raw"), [(KEY, base64.b64decode(KEY[6:])), ("any other text", b"any other text")]
)
async def test_what_is_sent_can_be_verified(recorder: Recorder, secret: str, raw: bytes) -> None:
    hook = Webhook(
        url=SecretUrl("hook", recorder.url + "/hook"),
        secret=Secret("key", secret),
        headers={"Authorization": Secret("token", "Bearer abc"), "X-Plain": "yes"},
    )
    assert await hook.send(message(), AT + 0.9) == "200 ok"
    (request,) = recorder.to("/hook")
    assert request.headers["webhook-id"] == "key-opened"
    assert request.headers["webhook-timestamp"] == str(int(AT))
    signed = f"key-opened.{int(AT)}.".encode() + request.body
    expected = base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert (request.headers["authorization"], request.headers["x-plain"]) == ("Bearer abc", "yes")
    body = request.json()
    assert (body["type"], body["timestamp"]) == ("incident.opened", "2026-05-28T20:26:40.000Z")
    assert body["data"]["incident"] == "incident-1"


async def test_without_a_secret_it_is_not_signed(recorder: Recorder) -> None:
    await Webhook(url=SecretUrl("hook", recorder.url)).send(message(), AT)
    (request,) = recorder.requests
    assert "webhook-signature" not in request.headers


async def test_a_secret_that_was_cut_off_says_so(recorder: Recorder) -> None:
    hook = Webhook(url=SecretUrl("hook", recorder.url), secret=Secret("key", "whsec_abc!"))
    with pytest.raises(NotifyError, match="not base64"):
        await hook.send(message(), AT)
