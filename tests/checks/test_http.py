"""Checks over HTTP against real servers, and against servers that say the wrong thing byte for byte."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.checks import HttpCheck
from mainstay.core.check import Answer, Check, Verdict
from mainstay.core.errors import MainstayError
from mainstay.core.secret import Secret
from tests.places import Say
from tests.servers.authority import Authority
from tests.servers.nginx import NginxServer
from tests.servers.process import free_port
from tests.servers.recorder import Recorder

Ask = Callable[[Check], Awaitable[Answer]]
Nginx = Callable[[str], NginxServer]
JSON = b'{"status": "ok", "queue": {"length": 7}, "jobs": [{"state": "done"}], "up": true, "none": null}'


def check(url: str, **options: Any) -> HttpCheck:
    return HttpCheck.model_validate({"url": url, **options})


async def test_a_good_page_is_ok_with_its_figures(recorder: Recorder, ask: Ask) -> None:
    recorder.answer(200, b"hello")
    answer = await ask(check(recorder.url))
    assert answer.verdict is Verdict.OK
    assert answer.detail.startswith("200 in ")
    assert answer.facts["status"] == 200
    assert answer.facts["size"] == 5
    assert {"dns", "connect", "first_byte"} <= answer.facts.keys()
    assert all(0 <= answer.facts[phase] < 5 for phase in ("dns", "connect", "first_byte"))


async def test_the_request_is_what_was_asked_for(recorder: Recorder, ask: Ask) -> None:
    secret = Secret("token", "Bearer s3cr3t-token")
    headers: dict[str, Any] = {"Authorization": secret, "X-Number": "1", "Host": "erp.example.com"}
    await ask(check(f"{recorder.url}/a/b?c=d#e", method="POST", headers=headers, body="gr\u00fc\u00df"))
    [request] = recorder.requests
    assert (request.method, request.path, request.text) == ("POST", "/a/b?c=d", "gr\u00fc\u00df")
    assert request.headers["authorization"] == "Bearer s3cr3t-token"
    assert request.headers["x-number"] == "1"
    assert request.headers["host"] == "erp.example.com"
    assert request.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("status", "accepted", "fine"),
    [
        (200, None, True),
        (204, None, True),
        (404, None, False),
        (503, None, False),
        (404, 404, True),
        (401, [200, "400-403"], True),
        (500, "5xx", True),
        (200, "5xx", False),
    ],
)
async def test_status(recorder: Recorder, ask: Ask, status: int, accepted: Any, fine: bool) -> None:
    recorder.answer(status)
    options = {} if accepted is None else {"status": accepted}
    answer = await ask(check(recorder.url, **options))
    assert answer.verdict is (Verdict.OK if fine else Verdict.FAIL), answer.detail


async def test_a_wrong_status_is_told_in_a_sentence(recorder: Recorder, ask: Ask) -> None:
    recorder.answer(503)
    answer = await ask(check(recorder.url, status=[200, "300-399"]))
    assert answer.detail == "expected status 200 or 300-399, got 503"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"contains": "ok"}, None),
        ({"contains": ["status", "queue"]}, None),
        ({"contains": ["status", "elephant"]}, "the body does not contain 'elephant'"),
        ({"absent": "Traceback"}, None),
        ({"absent": ["Traceback", "queue"]}, "the body contains 'queue'"),
        ({"json": {"status": "ok", "up": True, "none": None}}, None),
        ({"json": {"status": "down"}}, 'status is "ok", expected = "down"'),
        ({"json": {"queue.length": "< 10"}}, None),
        ({"json": {"queue.length": "> 10"}}, "queue.length is 7, expected > 10"),
        ({"json": {"queue.length": "7"}}, 'queue.length is 7, expected = "7"'),
        ({"json": {"queue.length": "= 7"}}, None),
        ({"json": {"jobs.0.state": "~ ^do"}}, None),
        ({"json": {"jobs.1.state": "done"}}, 'jobs.1.state is missing, expected = "done"'),
        ({"json": {"nothing.here": "!= 1"}}, None),
        ({"response_headers": {"content-type": "~ json"}}, None),
        ({"response_headers": {"Content-Type": "~ html"}}, 'header Content-Type is "application/json"'),
        ({"response_headers": {"x-missing": "1"}}, "header x-missing is missing"),
        ({"max_body": 10, "contains": "queue"}, "the body does not contain 'queue' in its first 10 B"),
        ({"max_body": 10, "json": {"status": "ok"}}, "the body is not JSON (only its first 10 B were read)"),
    ],
)
async def test_conditions(
    recorder: Recorder, ask: Ask, options: dict[str, Any], complaint: str | None
) -> None:
    recorder.answer(200, JSON, headers={"Content-Type": "application/json"})
    answer = await ask(check(recorder.url, **options))
    if complaint is None:
        assert answer.verdict is Verdict.OK, answer.detail
    else:
        assert answer.verdict is Verdict.FAIL
        assert complaint in answer.detail


async def test_slow_is_a_warning(recorder: Recorder, ask: Ask) -> None:
    recorder.answer(200, delay=0.06)
    answer = await ask(check(recorder.url, max_latency="50ms"))
    assert answer.verdict is Verdict.WARN
    assert "slower than 50ms" in answer.detail
    assert answer.facts["first_byte"] >= 0.05


async def test_redirects_are_followed_and_judged_at_the_end(recorder: Recorder, ask: Ask) -> None:
    recorder.answer(302, headers={"Location": "/two?x=1"}, path="/one")
    recorder.answer(301, headers={"Location": f"{recorder.url}/three"}, path="/two")
    recorder.answer(200, b"here", path="/three")
    answer = await ask(check(f"{recorder.url}/one", contains="here"))
    assert answer.verdict is Verdict.OK
    assert [request.path for request in recorder.requests] == ["/one", "/two?x=1", "/three"]


async def test_a_redirect_is_not_followed_when_it_must_not(recorder: Recorder, ask: Ask) -> None:
    recorder.answer(301, headers={"Location": "https://example.com/"})
    answer = await ask(check(recorder.url, redirects=0))
    assert answer.detail == "expected status 200-299, got 301 to https://example.com/"
    assert (await ask(check(recorder.url, redirects=0, status=301))).verdict is Verdict.OK
    assert len(recorder.requests) == 2


async def test_a_ring_of_redirects_fails(recorder: Recorder, ask: Ask) -> None:
    recorder.answer(302, headers={"Location": "/again"})
    answer = await ask(check(recorder.url, redirects=3))
    assert "more than 3 redirects" in answer.detail
    assert len(recorder.requests) == 4


@pytest.mark.parametrize("location", ["ftp://example.com/", "http://[::1", "http://user:pw@example.com/"])
async def test_a_redirect_to_nowhere_fails(recorder: Recorder, ask: Ask, location: str) -> None:
    recorder.answer(302, headers={"Location": location})
    answer = await ask(check(recorder.url))
    assert answer.verdict is Verdict.FAIL
    assert "which is not a URL" in answer.detail


async def test_secrets_do_not_follow_to_another_host(
    recorder: Recorder, make_recorder: Callable[[], Recorder], ask: Ask
) -> None:
    other = make_recorder()
    recorder.answer(307, headers={"Location": f"{other.url}/there"})
    headers: dict[str, Any] = {"X-Key": Secret("key", "very-secret"), "Cookie": "a=b", "X-Plain": "1"}
    await ask(check(recorder.url, method="POST", body="x", headers=headers))
    [request] = other.requests
    assert request.method == "POST"
    assert request.text == "x"
    assert "x-key" not in request.headers
    assert "cookie" not in request.headers
    assert request.headers["x-plain"] == "1"


async def test_secrets_do_not_follow_from_tls_to_plain_text(
    say: Say, recorder: Recorder, authority: Authority, ask: Ask
) -> None:
    there = f"HTTP/1.1 302 Found\r\nLocation: http://localhost:{recorder.port}/\r\nContent-Length: 0\r\n\r\n"
    port = await say(there.encode(), after=b"\r\n\r\n", tls=authority.issue())
    headers = {"Authorization": "Basic eDp5"}
    await ask(check(f"https://localhost:{port}/", ca=authority.ca, headers=headers))
    [request] = recorder.requests
    assert "authorization" not in request.headers


async def test_a_secret_of_two_lines_cannot_add_a_header(recorder: Recorder, ask: Ask) -> None:
    headers: dict[str, Any] = {"X-Key": Secret("key", "one\r\nX-Admin: yes")}
    with pytest.raises(MainstayError, match="line break"):
        await ask(check(recorder.url, headers=headers))
    assert recorder.requests == []


async def test_a_form_is_not_sent_twice(recorder: Recorder, ask: Ask) -> None:
    recorder.answer(303, headers={"Location": "/done"}, path="/")
    await ask(check(recorder.url, method="POST", body="x"))
    assert [(each.method, each.text) for each in recorder.requests] == [("POST", "x"), ("GET", "")]


async def test_refused_hanging_and_closing_servers(recorder: Recorder, ask: Ask) -> None:
    answer = await ask(check(f"http://127.0.0.1:{free_port()}/"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail.startswith("connection refused by 127.0.0.1:")
    recorder.hang(times=1)
    answer = await ask(check(recorder.url, timeout="100ms"))
    assert answer.detail.startswith("timed out after 100ms waiting for the answer of 127.0.0.1:")
    recorder.drop(times=1)
    answer = await ask(check(recorder.url))
    assert answer.verdict is Verdict.FAIL
    assert "closed without an answer" in answer.detail or "reset" in answer.detail


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "that is not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed in the middle of the headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "closed in the body, after 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "closed in the body"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "its headers are longer than 64 KiB"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
            "its body is not gzip",
        ),
    ],
)
async def test_broken_answers(say: Say, ask: Ask, said: bytes, complaint: str) -> None:
    port = await say(said, after=b"\r\n\r\n")
    answer = await ask(check(f"http://127.0.0.1:{port}/"))
    assert answer.verdict is Verdict.FAIL
    assert complaint in answer.detail


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello", mtime=0),
    ],
)
async def test_every_framing_is_read(say: Say, ask: Ask, said: bytes) -> None:
    port = await say(said, after=b"\r\n\r\n")
    answer = await ask(check(f"http://127.0.0.1:{port}/", contains="hello"))
    assert answer.verdict is Verdict.OK, answer.detail
    assert answer.facts["size"] == 5


async def test_head_has_no_body_and_an_upgrade_ends_the_answer(say: Say, ask: Ask) -> None:
    port = await say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", after=b"\r\n\r\n", hang=True)
    assert (await ask(check(f"http://127.0.0.1:{port}/", method="HEAD"))).verdict is Verdict.OK
    said = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00"
    port = await say(said, after=b"\r\n\r\n", hang=True)
    assert (await ask(check(f"http://127.0.0.1:{port}/", status=101))).verdict is Verdict.OK


async def test_an_endless_body_is_cut(say: Say, ask: Ask) -> None:
    port = await say(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000, after=b"\r\n\r\n", hang=True)
    answer = await ask(check(f"http://127.0.0.1:{port}/", max_body="100kB"))
    assert answer.verdict is Verdict.OK
    assert answer.facts["size"] == 100_000


async def test_tls_with_an_authority_of_ones_own(nginx: Nginx, authority: Authority, ask: Ask) -> None:
    certificate, key = authority.issue("erp.example.com")
    server = nginx(
        f"server {{ listen 127.0.0.1:{{port}} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"
        ' location / { return 200 "$host $ssl_protocol"; } }'
    )
    url, there = "https://erp.example.com/", f"127.0.0.1:{server.port}"
    answer = await ask(check(url, connect_to=there, ca=authority.ca, contains="erp.example.com TLS"))
    assert answer.verdict is Verdict.OK, answer.detail
    assert answer.facts["tls"] > 0
    assert (await ask(check(url, connect_to=there, verify=False))).verdict is Verdict.OK
    answer = await ask(check(url, connect_to=there))
    assert "signed by an authority that is not trusted" in answer.detail
    answer = await ask(check("https://www.example.com/", connect_to=there, ca=authority.ca))
    assert answer.detail == "the certificate is not for www.example.com"


async def test_tls_faults_are_told_in_words(say: Say, authority: Authority, ask: Ask) -> None:
    expired = await say(b"", tls=authority.issue(age=timedelta(days=30), left=timedelta(days=-2)), hang=True)
    answer = await ask(check(f"https://localhost:{expired}/", ca=authority.ca))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail.startswith("the certificate of localhost expired")
    early = await say(b"", tls=authority.issue(age=timedelta(days=-1)), hang=True)
    answer = await ask(check(f"https://localhost:{early}/", ca=authority.ca))
    assert "is not valid yet" in answer.detail
    own = await say(b"", tls=authority.issue(self_signed=True), hang=True)
    answer = await ask(check(f"https://localhost:{own}/", ca=authority.ca))
    assert "signed by itself" in answer.detail
    plain = await say(b"HTTP/1.1 400 Bad Request\r\n\r\n", hang=True)
    answer = await ask(check(f"https://localhost:{plain}/", ca=authority.ca))
    assert "it does not speak TLS on this port" in answer.detail


async def test_an_authority_that_cannot_be_read_is_the_configuration_s_fault(ask: Ask, tmp_path: Any) -> None:
    with pytest.raises(MainstayError, match="cannot read the authorities"):
        await ask(check("https://localhost/", ca=tmp_path / "missing.pem"))


async def test_localhost_is_reached_on_whichever_address_it_listens(recorder: Recorder, ask: Ask) -> None:
    assert (await ask(check(f"http://localhost:{recorder.port}/"))).verdict is Verdict.OK
    answer = await ask(check(f"http://localhost:{free_port()}/"))
    assert answer.detail.startswith("connection refused")


async def test_an_unknown_name_is_a_fail(ask: Ask) -> None:
    answer = await ask(check("http://no-such-host.invalid/"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail == "there is no host named no-such-host.invalid"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"url": "example.com"}, "write it like https://example.com/health"),
        ({"url": "ftp://example.com"}, "is not a URL"),
        ({"url": "http://exa mple.com"}, "is not a URL"),
        ({"url": "http://[::1"}, "is not a URL"),
        ({"url": "https://user:pw@example.com"}, "keep the login out of the URL"),
        ({"status": "20"}, "write 200, 200-299 or 2xx"),
        ({"status": "299-200"}, "runs backwards"),
        ({"json": {"a": "~ ("}}, "is not a regular expression"),
        ({"json": {"a": "> many"}}, "compares numbers"),
        ({"json": {"a": [1]}}, "write a plain value"),
        ({"connect_to": "127.0.0.1"}, "is not an address"),
        ({"connect_to": "127.0.0.1:99999"}, "is not an address"),
        ({"redirects": -1}, "greater than or equal to 0"),
        ({"headers": {"X-Bad": "a\r\nb"}}, "line break"),
        ({"headers": {"bad name": "a"}}, "name of a header"),
    ],
)
def test_mistakes_are_explained(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        check(options.pop("url", "http://example.com"), **options)


def test_what_is_shown_of_a_check_holds_no_query() -> None:
    asked = check("https://example.com:8443/health?token=abc", connect_to="[::1]:443")
    assert asked.target() == "https://example.com:8443/health"
    assert asked.host() == "::1"
    assert check("https://example.com/").host() == "example.com"
