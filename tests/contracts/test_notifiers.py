"""Every type of notifier: it delivers, it says when it was, and it says why not without its secrets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import mainstay.notifiers  # registers the types
from mainstay.core.incident import EventKind
from mainstay.core.notifier import Notifier, NotifyError
from mainstay.core.secret import Secret, SecretUrl
from tests.notifiers.messages import AT, message
from tests.servers.process import LOOPBACK, free_port
from tests.servers.recorder import Recorder
from tests.servers.smtp import SmtpSink

KINDS = [EventKind.OPENED, EventKind.ESCALATED, EventKind.ACKNOWLEDGED, EventKind.RESOLVED]
SECRET = "swordfish-swordfish-swordfish-00"


@dataclass
class Stage:
    """A notifier, what arrived at its provider as text, and how to make the provider misbehave."""

    notifier: Notifier
    arrived: Callable[[], list[str]]
    fail: Callable[[], object]
    refuse: Callable[[], object]


def _posting(make: Callable[[str], Notifier], server: Recorder) -> Stage:
    return Stage(
        make(f"{server.url}/{SECRET}"),
        lambda: [request.text for request in server.accepted],
        lambda: server.answer(503),
        lambda: server.answer(400, b"malformed"),
    )


def _slack(server: Recorder, mail: SmtpSink, **options: Any) -> Stage:
    cls = Notifier.registry["slack"]
    return _posting(lambda url: cls(url=Secret("slack_url", url), **options), server)


def _pagerduty(server: Recorder, mail: SmtpSink, **options: Any) -> Stage:
    cls = Notifier.registry["pagerduty"]
    key = Secret("pagerduty_key", SECRET)
    return _posting(lambda url: cls(routing_key=key, url=f"{server.url}/v2/enqueue", **options), server)


def _webhook(server: Recorder, mail: SmtpSink, **options: Any) -> Stage:
    cls = Notifier.registry["webhook"]
    key = Secret("webhook_key", SECRET)
    return _posting(lambda url: cls(url=SecretUrl("hook", url), secret=key, **options), server)


def _email(server: Recorder, mail: SmtpSink, **options: Any) -> Stage:
    cls = Notifier.registry["email"]
    login = {"username": "ops", "password": Secret("smtp_password", SECRET)}
    people = {"from": "Mainstay <ops@example.com>", "to": ["ana@example.com", "ben@example.com"]}
    notifier = cls(host=mail.host, port=mail.port, security="none", **login, **people, **options)

    def text(mailed: Any) -> str:
        return f"{mailed['Subject']}\n{mailed.get_body(('plain',)).get_content()}"

    return Stage(
        notifier,
        lambda: [text(each) for each in mail.messages],
        lambda: mail.answer("451 later, please"),
        lambda: mail.answer("554 no such words here"),
    )


STAGES = {"slack": _slack, "pagerduty": _pagerduty, "webhook": _webhook, "email": _email}


def test_every_type_is_here() -> None:
    assert set(mainstay.notifiers.__all__) == set(STAGES)
    assert set(STAGES) == {name for name, cls in Notifier.registry.items() if "mainstay" in cls.__module__}


@pytest.fixture(params=sorted(STAGES))
def stage(request: pytest.FixtureRequest, recorder: Recorder, smtp: SmtpSink) -> Stage:
    return STAGES[request.param](recorder, smtp, timeout=5)


@pytest.mark.parametrize("kind", KINDS)
async def test_it_delivers_and_gives_a_receipt(stage: Stage, kind: EventKind) -> None:
    receipt = await stage.notifier.send(message(kind), AT + 1)
    assert receipt
    assert SECRET not in receipt
    (arrived,) = stage.arrived()
    if stage.notifier.type_name != "pagerduty" or kind in (EventKind.OPENED, EventKind.ESCALATED):
        assert "Order API fails its http check" in arrived
        assert "Delivered late" not in arrived


async def test_it_says_when_it_was_when_it_is_late(stage: Stage) -> None:
    await stage.notifier.send(message(), AT + 7200)
    (arrived,) = stage.arrived()
    assert "2026-05-28 20:26:40" in arrived or "2026-05-28T20:26:40" in arrived


@pytest.mark.parametrize(
    "text",
    [
        "<!channel> & <script>alert(1)</script>",
        "line\r\nBcc: everybody@example.com\n\n.\n",
        "ünï 火 \u0000",
        "x" * 9000,
    ],
)
async def test_whatever_the_text_it_arrives(stage: Stage, text: str) -> None:
    await stage.notifier.send(message(title=text, detail=text, service=text[:50]), AT)
    assert len(stage.arrived()) == 1


async def test_a_provider_that_fails_is_a_fault_that_may_pass(stage: Stage) -> None:
    stage.fail()
    with pytest.raises(NotifyError) as told:
        await stage.notifier.send(message(), AT)
    assert not told.value.permanent
    assert SECRET not in str(told.value)
    assert stage.arrived() == []


async def test_a_message_that_is_refused_is_a_fault_for_ever(stage: Stage) -> None:
    stage.refuse()
    with pytest.raises(NotifyError) as told:
        await stage.notifier.send(message(), AT)
    assert told.value.permanent
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("name", sorted(STAGES))
async def test_nobody_there_is_a_fault_that_may_pass(name: str, recorder: Recorder, smtp: SmtpSink) -> None:
    recorder.refuse()
    stage = STAGES[name](recorder, smtp)
    notifier = stage.notifier
    if name == "email":
        notifier = notifier.model_copy(update={"port": free_port()})
    with pytest.raises(NotifyError, match="cannot be reached") as told:
        await notifier.send(message(), AT)
    assert not told.value.permanent
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("name", sorted(STAGES))
async def test_a_provider_that_hangs_is_given_up(name: str, recorder: Recorder, smtp: SmtpSink) -> None:
    stage = STAGES[name](recorder, smtp, timeout=0.4)
    recorder.hang()
    with socket.create_server((LOOPBACK, 0)) as mute:
        notifier = stage.notifier
        if name == "email":
            notifier = notifier.model_copy(update={"port": mute.getsockname()[1]})
        with pytest.raises(NotifyError, match="did not answer within"):
            await notifier.send(message(), AT)
