"""E-mail, to a mail server of our own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.core.incident import EventKind
from mainstay.core.notifier import NotifyError
from mainstay.core.secret import Secret
from mainstay.notifiers.email import Email
from tests.notifiers.messages import AT, message
from tests.servers.recorder import Recorder
from tests.servers.smtp import SmtpSink


def mailer(smtp: SmtpSink, **options: Any) -> Email:
    where = {"host": smtp.host, "port": smtp.port, "security": "none"}
    people = {"from": "Mainstay <ops@example.com>", "to": ["ana@example.com"]}
    return Email(**{**where, **people, **options})


async def test_the_messages_of_an_incident_are_one_thread(smtp: SmtpSink) -> None:
    for kind in (EventKind.OPENED, EventKind.RESOLVED):
        assert await mailer(smtp).send(message(kind), AT) == "accepted"
    opened, resolved = smtp.messages
    assert (opened["Subject"], resolved["Subject"]) == (
        "Critical: Order API fails its http check",
        "Resolved: Order API fails its http check",
    )
    assert (opened["Message-ID"], resolved["Message-ID"]) == (
        "<key-opened@example.com>",
        "<key-resolved@example.com>",
    )
    assert opened["References"] == resolved["References"] == "<incident-1.incident@example.com>"
    assert opened["Auto-Submitted"] == "auto-generated"
    assert opened["Date"] == "Thu, 28 May 2026 20:26:40 +0000"


async def test_it_reads_well_as_text_and_as_html(smtp: SmtpSink) -> None:
    await mailer(smtp).send(message(detail="<b>503</b>", service="a & b"), AT + 7200)
    (mail,) = smtp.messages
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert rich is not None
    text = plain.get_content()
    assert "Service: a & b" in text
    assert "Delivered late: this was at 2026-05-28 20:26:40 UTC, 2h ago." in text
    assert "https://status.example.com/incidents/incident-1" in text
    page = rich.get_content()
    assert "&lt;b&gt;503" in page
    assert "a &amp; b" in page


async def test_it_logs_in_and_reaches_everybody(smtp: SmtpSink) -> None:
    people = ["ana@example.com", "Ben <ben@example.com>"]
    login = {"username": "ops", "password": Secret("smtp_password", "swordfish")}
    await mailer(smtp, to=people, **login).send(message(), AT)
    assert smtp.recipients == [["ana@example.com", "ben@example.com"]]
    assert smtp.logins == [("ops", "swordfish")]


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [("451 later, please", False), ("552 too large", True), ("554 looks like spam", True)],
)
async def test_what_the_server_says(smtp: SmtpSink, answer: str, permanent: bool) -> None:
    smtp.answer(answer)
    with pytest.raises(NotifyError, match=answer[:3]) as told:
        await mailer(smtp).send(message(), AT)
    assert told.value.permanent is permanent


async def test_a_server_without_encryption_is_not_trusted_with_more(smtp: SmtpSink) -> None:
    with pytest.raises(NotifyError, match="try another `security`"):
        await mailer(smtp, security="starttls").send(message(), AT)
    assert smtp.messages == []


async def test_a_web_server_is_no_mail_server(recorder: Recorder, smtp: SmtpSink) -> None:
    with pytest.raises(NotifyError):
        await mailer(smtp, port=recorder.port, security="tls", timeout=2).send(message(), AT)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": []}, "at least 1"),
        ({"to": ["ana"]}, "not an e-mail address"),
        ({"from": "a@example.com\r\nBcc: b@example.com"}, "not an e-mail address"),
        ({"username": "ops"}, "both username and password"),
        ({"port": 0}, "greater than or equal"),
    ],
)
def test_options_that_make_no_sense(smtp: SmtpSink, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        mailer(smtp, **options)
