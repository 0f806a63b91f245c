"""PagerDuty: Events API version 2, as its documentation has it."""

from __future__ import annotations

import pytest

from mainstay.core.incident import EventKind, Severity
from mainstay.core.notifier import NotifyError
from mainstay.core.secret import Secret
from mainstay.notifiers.pagerduty import PagerDuty
from tests.notifiers.messages import AT, message
from tests.servers.recorder import PAGERDUTY, Recorder


def pager(recorder: Recorder) -> PagerDuty:
    return PagerDuty(routing_key=Secret("pagerduty_key", "K" * 32), url=recorder.url + PAGERDUTY)


async def test_a_trigger_has_all_that_is_asked_for(recorder: Recorder) -> None:
    assert await pager(recorder).send(message(), AT) == "202 incident-1"
    (event,) = (request.json() for request in recorder.to(PAGERDUTY))
    assert event == {
        "routing_key": "K" * 32,
        "event_action": "trigger",
        "dedup_key": "incident-1",
        "client": "mainstay",
        "client_url": "https://status.example.com/incidents/incident-1",
        "links": [
            {"href": "https://status.example.com/incidents/incident-1", "text": "The incident in mainstay"}
        ],
        "payload": {
            "summary": "Critical: Order API fails its http check",
            "source": "api",
            "severity": "critical",
            "timestamp": "2026-05-28T20:26:40.000Z",
            "component": "api",
            "class": "check",
            "custom_details": {
                "detail": "503 Service Unavailable",
                "Service": "api",
                "Since": "2026-05-28 20:26:39 UTC",
            },
        },
    }


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (EventKind.ESCALATED, "trigger"),
        (EventKind.ACKNOWLEDGED, "acknowledge"),
        (EventKind.RESOLVED, "resolve"),
    ],
)
async def test_one_alert_lives_through_the_whole_incident(
    recorder: Recorder, kind: EventKind, action: str
) -> None:
    await pager(recorder).send(message(kind), AT)
    (event,) = (request.json() for request in recorder.requests)
    assert (event["event_action"], event["dedup_key"]) == (action, "incident-1")


async def test_long_texts_are_cut_to_what_is_allowed(recorder: Recorder) -> None:
    await pager(recorder).send(message(title="x" * 5000, thread="t" * 500, severity=Severity.WARNING), AT)
    (event,) = (request.json() for request in recorder.requests)
    assert len(event["payload"]["summary"]) == 1024
    assert len(event["dedup_key"]) == 255
    assert event["payload"]["severity"] == "warning"


async def test_a_wrong_key_may_be_put_right(recorder: Recorder) -> None:
    recorder.answer(400, b'{"status":"invalid event","errors":["Length of \'routing_key\' is incorrect"]}')
    with pytest.raises(NotifyError, match="does not know the routing key") as told:
        await pager(recorder).send(message(), AT)
    assert not told.value.permanent


async def test_a_receipt_that_is_not_json_is_a_receipt(recorder: Recorder) -> None:
    recorder.answer(202, b"fine")
    assert await pager(recorder).send(message(), AT) == "202"


def test_an_address_must_be_one() -> None:
    with pytest.raises(ValueError, match="is not a URL"):
        PagerDuty(routing_key=Secret("k", "x"), url="events.pagerduty.com")
