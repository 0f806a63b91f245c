"""`mainstay webhook send`: what a receiver gets, and what is made of its answer."""

from __future__ import annotations

import io
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mainstay.cli import webhook
from mainstay.config.load import load
from mainstay.edge.schemes.base import Delivery, Headers, Refused, Verified
from tests.cli.conftest import Cli, Company
from tests.servers.authority import Authority
from tests.servers.process import LOOPBACK, free_port
from tests.servers.recorder import Answer, Recorded, Recorder

TEXT = """
name: shop
state_dir: state
edge: {{webhooks: 0.0.0.0:{port}}}
webhooks:
  bank: {{secrets: [{{secret: bank_old}}, {{secret: bank_new}}]}}
  shop: {{scheme: github, secrets: [{{secret: bank_old}}]}}
  pay: {{scheme: stripe, secrets: [{{secret: bank_old}}]}}
  sms: {{scheme: twilio, secrets: [{{secret: bank_old}}], url: "https://hooks.example.com/sms"}}
  mail: {{scheme: sendgrid, secrets: [{{secret: sendgrid_key}}]}}
  xendit: {{scheme: xendit, secrets: [{{secret: bank_old}}]}}
  link: {{scheme: {{hmac: {{parameter: sig}}}}, secrets: [{{secret: bank_old}}]}}
  inside: {{scheme: none, allow_from: [127.0.0.1]}}
"""
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVp"
    "iglSI8eNEc6wEA3F+g=="
)


@pytest.fixture
def sources(company: Company, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Company:
    """A configuration whose edge is the recorder."""
    monkeypatch.setenv("MAINSTAY_BANK_OLD", "the old secret of the bank")
    monkeypatch.setenv("MAINSTAY_BANK_NEW", "the new secret of the bank")
    monkeypatch.setenv("MAINSTAY_SENDGRID_KEY", KEY)
    company.write(TEXT.format(port=recorder.port))
    return company


def judged(company: Company, request: Recorded, now: float, url: str | None = None) -> Verified | Refused:
    """What the edge would say of a request that was received."""
    parts = urlsplit(request.path)
    settings = load(company.file, secrets=True).webhooks[parts.path[1:]]
    headers = Headers.of(request.headers.items())
    called = url or f"http://{request.headers['host']}{request.path}"
    delivery = Delivery("POST", parts.path, parts.query, headers, request.body, LOOPBACK, called)
    return settings.scheme.verify(delivery, settings.secrets, now)


def test_a_signed_event_reaches_the_edge(sources: Company, recorder: Recorder, cli: Cli, now: float) -> None:
    recorder.behave(Answer(202, b'{"status":"queued","id":"01x"}\n'), times=1)
    said = cli("webhook", "send", "bank")
    assert said.code == 0
    assert (
        said.out
        == f'ok  http://127.0.0.1:{recorder.port}/bank answered 202 {{"status":"queued","id":"01x"}}\n'
    )
    (request,) = recorder.to("/bank")
    assert judged(sources, request, now) == Verified("bank_old")
    assert request.headers["content-type"] == "application/json"
    assert list(json.loads(request.body)) == ["test"]
    assert cli("webhook", "send", "bank").code == 0
    assert recorder.to("/bank")[1].body != request.body


def test_another_secret_signs(sources: Company, recorder: Recorder, cli: Cli, now: float) -> None:
    assert cli("webhook", "send", "bank", "--secret", "bank_new").code == 0
    assert judged(sources, recorder.requests[-1], now) == Verified("bank_new")
    said = cli("webhook", "send", "bank", "--secret", "bank")
    assert (said.code, "its secrets: bank_old, bank_new" in said.err) == (2, True)


@pytest.mark.parametrize("source", ["bank", "shop", "pay", "sms", "xendit", "link"])
def test_a_spoiled_event_is_to_be_refused(
    sources: Company, recorder: Recorder, cli: Cli, now: float, source: str
) -> None:
    recorder.behave(Answer(401, b"no"), times=1)
    said = cli("webhook", "send", source, "--bad", "--json")
    assert (said.code, said.data["status"], said.data["as_it_should"]) == (0, 401, True)
    url = f"https://hooks.example.com{recorder.requests[-1].path}" if source == "sms" else None
    assert judged(sources, recorder.requests[-1], now, url) == Refused(
        "the header x-callback-token is not right" if source == "xendit" else "the signature does not match"
    )
    said = cli("webhook", "send", source, "--bad")
    assert said.code == 1
    assert "with a spoiled signature was taken" in said.err
    assert cli("webhook", "send", source).code == 0
    assert isinstance(judged(sources, recorder.requests[-1], now, url), Verified)


def test_type_body_and_headers(
    sources: Company, recorder: Recorder, cli: Cli, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"amount":  10.0}\n'
    Path("event.json").write_bytes(body)
    assert (
        cli("webhook", "send", "shop", "--body", "event.json", "--type", "push", "--header", "X-A: b").code
        == 0
    )
    request = recorder.requests[-1]
    assert (request.body, request.headers["x-github-event"], request.headers["x-a"]) == (body, "push", "b")
    assert request.headers["x-github-delivery"].startswith("test_")
    assert judged(sources, request, now) == Verified("bank_old")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\x00\xff")))
    assert cli("webhook", "send", "bank", "--body", "-").code == 0
    assert recorder.requests[-1].body == b"\x00\xff"
    assert recorder.requests[-1].headers["content-type"] == "application/octet-stream"
    assert cli("webhook", "send", "pay", "--type", "charge.succeeded").code == 0
    sent = json.loads(recorder.requests[-1].body)
    assert (sent["type"], sent["id"][:5]) == ("charge.succeeded", "test_")


def test_the_address_that_the_source_is_known_by_is_signed(
    sources: Company, recorder: Recorder, cli: Cli, now: float
) -> None:
    assert cli("webhook", "send", "sms").code == 0
    request = recorder.requests[-1]
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert judged(sources, request, now, "https://hooks.example.com/sms") == Verified("bank_old")
    Path("event.json").write_bytes(b'{"a": 1}')
    assert cli("webhook", "send", "sms", "--body", "event.json").code == 0
    request = recorder.requests[-1]
    url = f"https://hooks.example.com{request.path}"
    assert "bodySHA256=" in request.path
    assert judged(sources, request, now, url) == Verified("bank_old")


def test_a_dry_run_sends_nothing_and_shows_no_secret(sources: Company, recorder: Recorder, cli: Cli) -> None:
    said = cli(
        "webhook", "send", "shop", "--dry-run", "--type", "push", "--url", "https://hooks.example.com/shop"
    )
    assert said.code == 0
    assert said.out.startswith("POST https://hooks.example.com/shop\nX-GitHub-Delivery: test_")
    assert "X-Hub-Signature-256: sha256=" in said.out
    shown = cli("webhook", "send", "xendit", "--dry-run", "--json").data
    assert shown["headers"]["x-callback-token"] == "********"
    assert shown["sent"] is False
    assert recorder.requests == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["bnak"], 2, "did you mean bank?"),
        (["nowhere-at-all"], 2, "known: bank, shop, pay"),
        (["mail"], 1, "only SendGrid can sign as SendGrid"),
        (["inside", "--bad"], 2, "nothing can be spoiled"),
        (["bank", "--type", "paid"], 2, "leave --type out"),
        (["pay", "--type", "paid", "--body", "event.json"], 2, "write it into the body"),
        (["shop", "--type", "a\nb"], 2, "printable ASCII"),
        (["bank", "--body", "not-there.json"], 2, "no such file"),
        (["bank", "--header", "novalue"], 2, "is no header"),
        (["bank", "--header", "A: b\r\nC: d"], 2, "is no header"),
        (["bank", "--url", "not a url"], 2, "is no URL"),
        (["bank", "--url", f"http://{LOOPBACK}:{free_port()}/bank"], 3, "is the edge running?"),
    ],
)
def test_what_cannot_be_sent_says_why(
    sources: Company, recorder: Recorder, cli: Cli, arguments: list[str], code: int, said: str
) -> None:
    Path("event.json").write_bytes(b'{"id": "x"}')
    result = cli("webhook", "send", *arguments)
    assert said in result.err
    assert result.code == code
    assert recorder.requests == []


def test_a_source_without_a_scheme_that_proves_is_sent_to(
    sources: Company, recorder: Recorder, cli: Cli
) -> None:
    assert cli("webhook", "send", "inside").code == 0
    assert [request.path for request in recorder.requests] == ["/inside"]


def test_a_certificate_that_does_not_hold_is_told(
    sources: Company, recorder: Recorder, cli: Cli, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue())
    server = ThreadingHTTPServer((LOOPBACK, 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the client hangs up, as it should
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        said = cli("webhook", "send", "bank", "--url", f"https://{LOOPBACK}:{server.server_port}/bank")
    finally:
        server.shutdown()
        server.server_close()
    assert said.code == 3
    assert "certificate that does not hold" in said.err
    assert "--url with the name" in said.err


def test_who_never_answers_is_not_waited_for(
    sources: Company, recorder: Recorder, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PATIENCE", 0.2)
    recorder.hang(times=1)
    said = cli("webhook", "send", "bank")
    assert (said.code, "did not answer within 0.2 s" in said.err) == (3, True)
