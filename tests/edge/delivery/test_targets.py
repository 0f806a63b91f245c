"""Every type of target: the sender's own bytes arrive, and each way to fail is told apart without secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.core.errors import MainstayError
from mainstay.core.secret import Secret, SecretUrl
from mainstay.edge.delivery.parcel import End, Outcome, Parcel
from mainstay.edge.delivery.targets import Target
from mainstay.edge.delivery.targets.command import CommandTarget
from mainstay.edge.delivery.targets.entry_point import EntryPointTarget
from mainstay.edge.delivery.targets.http import HttpTarget
from mainstay.ports.clock import SystemClock
from tests.edge.delivery import functions
from tests.edge.delivery.parcels import parcel, tools
from tests.helpers import aeventually
from tests.places import Say
from tests.servers.authority import Authority
from tests.servers.process import LOOPBACK, free_port
from tests.servers.recorder import Recorder

SECRET = "swordfish-swordfish"
HERE = "tests.edge.delivery.functions"


async def bring(target: Target, what: Parcel | None = None) -> Outcome:
    async with target.opened(tools(), 4) as deliver:
        return await deliver(what or parcel())


def http(server: Recorder, path: str = "/hook", **options: object) -> HttpTarget:
    return HttpTarget(url=SecretUrl("(in the file)", f"{server.url}{path}"), **options)  # type: ignore[arg-type]


# --- http --------------------------------------------------------------------------------------------------------


async def test_the_very_bytes_arrive_with_the_senders_headers_and_ours(recorder: Recorder) -> None:
    sent = parcel(
        headers=(
            ("Content-Type", "application/json; charset=latin-1"),
            ("X-Bank-Event", "payment.made"),
            ("X-Several", "one"),
            ("X-Several", "two"),
            ("Authorization", "Basic c2VjcmV0"),
            ("Cookie", "a=b"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("Host", "hooks.example.com"),
            ("Content-Length", "999"),
            ("Transfer-Encoding", "chunked"),
            ("Idempotency-Key", "theirs"),
            ("Mainstay-Replay-Of", "forged"),
        ),
        attempt=3,
    )
    outcome = await bring(http(recorder), sent)
    assert (outcome.end, outcome.status, outcome.detail) == (End.DONE, 200, "200 ok")
    (request,) = recorder.requests
    assert (request.method, request.body) == ("POST", sent.body)
    assert request.headers["content-type"] == "application/json; charset=latin-1"
    assert request.headers["x-bank-event"] == "payment.made"
    assert request.headers["idempotency-key"] == request.headers["webhook-id"] == sent.id
    assert (request.headers["mainstay-source"], request.headers["mainstay-attempt"]) == ("bank", "3")
    assert request.headers["mainstay-received-at"] == "2026-05-28T20:26:40.000Z"
    assert request.headers["content-length"] == str(len(sent.body))
    assert request.headers["host"] == f"{LOOPBACK}:{recorder.port}"
    for name in ("authorization", "cookie", "x-forwarded-for", "transfer-encoding", "mainstay-replay-of"):
        assert name not in request.headers


async def test_it_is_signed_as_standard_webhooks_says(recorder: Recorder) -> None:
    key = b"\x00\x01 very secret key \xff"
    secret = Secret("hook", "whsec_" + base64.b64encode(key).decode())
    theirs = parcel(
        headers=(("webhook-id", "msg_1"), ("webhook-signature", "v1,abc"), ("webhook-timestamp", "1"))
    )
    await bring(http(recorder, secret=secret), theirs)
    (request,) = recorder.requests
    stamp = request.headers["webhook-timestamp"]
    signed = b".".join((theirs.id.encode(), stamp.encode(), theirs.body))
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{mac}"
    assert request.headers["webhook-id"] == theirs.id
    assert abs(int(stamp) - SystemClock().now()) < 60


async def test_without_a_secret_the_senders_own_signature_is_handed_on(recorder: Recorder) -> None:
    theirs = parcel(
        headers=(("webhook-id", "msg_1"), ("webhook-signature", "v1,abc"), ("webhook-timestamp", "1"))
    )
    await bring(http(recorder), theirs)
    (request,) = recorder.requests
    kept = {name: request.headers[name] for name in ("webhook-id", "webhook-signature", "webhook-timestamp")}
    assert kept == {"webhook-id": "msg_1", "webhook-signature": "v1,abc", "webhook-timestamp": "1"}
    assert request.headers["idempotency-key"] == theirs.id


async def test_headers_are_chosen_by_pattern_and_the_body_can_always_be_understood(
    recorder: Recorder,
) -> None:
    sent = parcel(
        headers=(
            ("Content-Type", "a/b"),
            ("Content-Encoding", "gzip"),
            ("X-Bank-Event", "e"),
            ("X-Other", "o"),
        ),
        body=b"\x1f\x8b\x00raw",
        replay_of="0bbefore",
    )
    extra = {"Authorization": Secret("token", f"Bearer {SECRET}")}
    await bring(http(recorder, forward=["x-bank-*"], headers=extra), sent)
    (request,) = recorder.requests
    assert request.body == b"\x1f\x8b\x00raw"
    assert (request.headers["content-type"], request.headers["content-encoding"]) == ("a/b", "gzip")
    assert "x-bank-event" in request.headers
    assert "x-other" not in request.headers
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["mainstay-replay-of"] == "0bbefore"


@pytest.mark.parametrize(
    ("status", "end", "sick"),
    [
        (200, End.DONE, False),
        (202, End.DONE, False),
        (204, End.DONE, False),
        (302, End.LATER, False),
        (400, End.LATER, False),
        (401, End.LATER, False),
        (404, End.LATER, False),
        (410, End.NEVER, False),
        (422, End.LATER, False),
        (429, End.LATER, True),
        (500, End.LATER, True),
        (503, End.LATER, True),
    ],
)
async def test_what_an_answer_means(recorder: Recorder, status: int, end: End, sick: bool) -> None:
    recorder.answer(
        status, b"" if status == 204 else b"well\nwell", headers={"Location": "https://elsewhere.example/"}
    )
    outcome = await bring(http(recorder))
    assert (outcome.end, outcome.sick, outcome.status) == (end, sick, status)
    assert outcome.detail.startswith(str(status))
    assert len(recorder.requests) == 1


async def test_which_statuses_mean_never_can_be_said(recorder: Recorder) -> None:
    recorder.answer(422, b"no such order")
    assert await bring(http(recorder, never=[410, 422])) == Outcome(End.NEVER, "422 no such order", 422)


@pytest.mark.parametrize(("status", "wish"), [(429, 120.0), (503, 120.0), (500, None)])
async def test_the_targets_wish_is_told(recorder: Recorder, status: int, wish: float | None) -> None:
    recorder.answer(status, headers={"Retry-After": "120"})
    assert (await bring(http(recorder))).wish == wish


async def test_a_target_that_hangs_is_given_up_and_one_that_drops_is_too(recorder: Recorder) -> None:
    recorder.hang(times=1)
    outcome = await bring(http(recorder, timeout="300ms"))
    assert outcome == Outcome(End.LATER, "no answer within 300ms", sick=True)
    recorder.drop(times=1)
    assert await bring(http(recorder)) == Outcome(
        End.LATER, "cannot be reached: it closed the connection", sick=True
    )


async def test_nobody_there_and_no_such_host_are_told_without_the_address() -> None:
    secret = SecretUrl("address", f"http://{LOOPBACK}:{free_port()}/{SECRET}")
    outcome = await bring(HttpTarget(url=secret))
    assert outcome == Outcome(End.LATER, "cannot be reached: Connection refused", sick=True)
    nowhere = HttpTarget(url=SecretUrl("address", f"http://no-such-host.invalid/{SECRET}"))
    outcome = await bring(nowhere)
    assert (outcome.end, outcome.sick) == (End.LATER, True)
    assert SECRET not in outcome.detail
    assert SECRET not in nowhere.place()


async def test_an_answer_that_shows_our_secret_is_masked(recorder: Recorder) -> None:
    secret = Secret("hook", SECRET)
    recorder.answer(500, f"bad signature, expected one with {SECRET}".encode())
    outcome = await bring(http(recorder, secret=secret))
    assert SECRET not in outcome.detail
    assert "bad signature" in outcome.detail


async def test_a_long_answer_is_not_kept(recorder: Recorder) -> None:
    recorder.answer(200, b"x" * 200_000)
    assert len((await bring(http(recorder))).detail) <= 205


async def test_a_certificate_that_does_not_hold_is_refused(authority: Authority, say: Say) -> None:
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    port = await say(answer, after=b"}\n", tls=authority.issue("localhost"))
    url = SecretUrl("(in the file)", f"https://localhost:{port}/")
    outcome = await bring(HttpTarget(url=url))
    assert (outcome.end, outcome.sick) == (End.LATER, True)
    assert outcome.detail.startswith("its certificate does not hold: ")
    assert (await bring(HttpTarget(url=url, ca=authority.ca))).end is End.DONE
    assert (await bring(HttpTarget(url=url, verify=False))).end is End.DONE


async def test_a_secret_that_is_not_base64_is_a_fault_of_the_configuration(recorder: Recorder) -> None:
    with pytest.raises(MainstayError, match="not base64"):
        await bring(http(recorder, secret=Secret("hook", "whsec_!!!")))


# --- command -----------------------------------------------------------------------------------------------------

TELL = """
import json, os, sys
body = sys.stdin.buffer.read()
names = ("EVENT_ID", "SOURCE", "EVENT_TYPE", "SENDER_ID", "ATTEMPT", "RECEIVED_AT", "REPLAY_OF", "HEADERS")
known = {name: os.environ["MAINSTAY_" + name] for name in names}
json.dump({"body": body.decode(), "own": os.environ["OWN"], **known}, open(sys.argv[1], "w"))
print("thank you")
"""


def python(code: str, *arguments: str, **options: object) -> CommandTarget:
    return CommandTarget(command=[sys.executable, "-c", code, *arguments], **options)  # type: ignore[arg-type]


async def test_a_command_gets_the_body_and_what_is_known_of_the_event(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    sent = parcel(attempt=2, type=None)
    outcome = await bring(python(TELL, str(told), env={"OWN": Secret("own", SECRET)}), sent)
    assert outcome == Outcome(End.DONE, "thank you", 0)
    assert json.loads(told.read_text()) == {
        "body": sent.body.decode(),
        "own": SECRET,
        "EVENT_ID": sent.id,
        "SOURCE": "bank",
        "EVENT_TYPE": "",
        "SENDER_ID": "evt_1",
        "ATTEMPT": "2",
        "RECEIVED_AT": "2026-05-28T20:26:40.000Z",
        "REPLAY_OF": "",
        "HEADERS": json.dumps([list(pair) for pair in sent.headers]),
    }


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("raise SystemExit(1)", Outcome(End.LATER, "exit code 1", 1, sick=True)),
        (
            "print('no such order'); raise SystemExit(65)",
            Outcome(End.NEVER, "exit code 65: no such order", 65),
        ),
        ("import os; os.abort()", Outcome(End.LATER, "killed by signal 6", -6, sick=True)),
        (
            f"print('{SECRET}'); raise SystemExit(2)",
            Outcome(End.LATER, "exit code 2: ********", 2, sick=True),
        ),
        ("import os; os.close(0)", Outcome(End.DONE, "exit code 0", 0)),
        ("print('x' * 10_000_000)", Outcome(End.DONE, "x" * 199 + "…", 0)),
    ],
)
async def test_what_an_exit_code_means(code: str, outcome: Outcome) -> None:
    Secret("own", SECRET)
    assert await bring(python(code), parcel(body=b"x" * 1_000_000)) == outcome


async def test_a_command_inherits_none_of_our_own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_HOOK", SECRET)
    outcome = await bring(python("import os; print(os.environ.get('MAINSTAY_HOOK', 'nothing'))"))
    assert outcome.detail == "nothing"


async def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(mark)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    outcome = await bring(python(code, timeout="2s"))
    assert outcome.sick
    assert outcome.detail.endswith("did not end within 2s and was killed")
    stat = Path(f"/proc/{mark.read_text()}/stat")
    await aeventually(lambda: not stat.exists() or ") Z" in stat.read_text())


async def test_a_command_that_is_not_there_is_tried_again() -> None:
    outcome = await bring(CommandTarget(command=["/nowhere/at-all"]))
    assert outcome == Outcome(End.LATER, "cannot run /nowhere/at-all: No such file or directory", sick=True)


# --- entry point -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    functions.TAKEN.clear()
    functions.GO_ON.clear()
    yield
    functions.GO_ON.set()


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("take", Outcome(End.DONE, "took 10.0")),
        ("take_async", Outcome(End.DONE, "returned")),
        ("fail", Outcome(End.LATER, "ConnectionError: the ledger is closed, ********", sick=True)),
        ("refuse", Outcome(End.NEVER, "no such account")),
        ("leave", Outcome(End.LATER, "SystemExit: 3", sick=True)),
    ],
)
async def test_what_a_function_does(name: str, outcome: Outcome) -> None:
    Secret("own", SECRET)
    sent = parcel()
    assert await bring(EntryPointTarget(call=f"{HERE}:{name}"), sent) == outcome
    assert len(functions.TAKEN) == (outcome.end is End.DONE)
    assert all(taken is sent for taken in functions.TAKEN)


async def test_a_function_that_hangs_is_given_up() -> None:
    outcome = await bring(EntryPointTarget(call=f"{HERE}:hang", timeout=0.2))
    assert outcome.detail == f"{HERE}:hang did not return within 200ms"
    assert outcome.sick


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("no.such.package:function", "cannot be imported: ModuleNotFoundError"),
        (f"{HERE}:nothing", "cannot be imported: AttributeError"),
        (f"{HERE}:not_a_function", "is not a function"),
        ("unheard_of", "no installed package has the entry point"),
    ],
)
async def test_a_function_that_is_not_there_is_a_fault_of_the_configuration(call: str, words: str) -> None:
    with pytest.raises(MainstayError, match=words):
        await bring(EntryPointTarget(call=call))
