"""One POST: what its answers mean."""

from __future__ import annotations

import pytest

from mainstay.core.notifier import NotifyError
from mainstay.notifiers.posting import post
from mainstay.ports.answers import retry_after
from tests.servers.recorder import Recorder

NOW = 1_780_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120.0),
        ("Thu, 28 May 2026 20:27:40 GMT", 60.0),
        ("Thu, 28 May 2020 20:27:40 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "permanent", "words"),
    [
        (400, True, "refused the message with 400: why"),
        (413, True, "refused the message"),
        (422, True, "refused the message"),
        (401, False, "answered 401"),
        (403, False, "replace the secret"),
        (410, False, "answered 410"),
        (429, False, "answered 429"),
        (500, False, "answered 500: why"),
        (302, False, "a redirect"),
    ],
)
async def test_what_an_answer_means(recorder: Recorder, status: int, permanent: bool, words: str) -> None:
    recorder.answer(status, b"why", headers={"Location": "https://example.com", "Retry-After": "7"})
    with pytest.raises(NotifyError, match=words) as told:
        await post("Somebody", recorder.url, b"{}", timeout=5, now=NOW)
    assert told.value.permanent is permanent
    assert told.value.retry_after == (7.0 if status in (429, 500) else None)


async def test_a_proxy_of_the_environment_is_not_used(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    reply = await post("Somebody", recorder.url, b"{}", timeout=5, now=NOW)
    assert (reply.status, reply.text) == (200, "ok")


async def test_a_page_of_a_proxy_is_not_repeated_in_the_error(recorder: Recorder) -> None:
    recorder.answer(502, b"<html>Bad gateway</html>")
    with pytest.raises(NotifyError) as told:
        await post("Somebody", recorder.url, b"{}", timeout=5, now=NOW)
    assert str(told.value) == "Somebody answered 502"
