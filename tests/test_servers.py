"""The engines themselves: they are real, they are ready, they come back, they leave nothing behind."""

from __future__ import annotations

import re
import smtplib
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest
from playwright.async_api import Page

from tests.helpers import ROOT, NeverHappened, aeventually, eventually
from tests.servers.browser import axe
from tests.servers.docker import DockerServer
from tests.servers.faults import FaultProxy
from tests.servers.nginx import NginxServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import Engine, program, started
from tests.servers.recorder import PAGERDUTY, Recorder
from tests.servers.redis import RedisServer
from tests.servers.s3 import Bucket
from tests.servers.smtp import SmtpSink


def version(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.info.server_version // 10000


def test_wheel_postgres_is_a_real_server(postgres: PostgresServer, database: str) -> None:
    assert version(database) >= 16
    assert (postgres.bin / "pg_dump").exists()


def test_debian_postgres_is_a_real_server(debian_postgres: PostgresServer, debian_database: str) -> None:
    assert version(debian_database) >= 13
    assert debian_postgres.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")


def test_a_fresh_database_is_empty_and_goes_away(postgres: PostgresServer) -> None:
    with postgres.fresh() as dsn, psycopg.connect(dsn) as left_open:
        assert left_open.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone() == (0,)
        name = left_open.info.dbname
    assert not postgres.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'")


def test_a_template_is_filled_once_and_cloned(postgres: PostgresServer) -> None:
    fillings = []

    def fill(dsn: str) -> None:
        fillings.append(dsn)
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE fact AS SELECT 42 AS answer")

    for _ in range(2):
        with postgres.fresh(postgres.template("with_fact", fill)) as dsn, psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT answer FROM fact").fetchone() == (42,)
    assert len(fillings) == 1


def test_postgres_comes_back_on_its_port_after_sigkill(postgres: PostgresServer, database: str) -> None:
    port = postgres.port
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        version(database)
    postgres.start()
    assert postgres.port == port
    assert version(database) >= 16


def test_redis_is_emptied_for_every_test(redis: RedisServer) -> None:
    with redis.client() as client:
        client.set("left", "over")
        redis.flush()
        assert client.dbsize() == 0


def test_redis_comes_back_on_its_port_after_sigkill(redis: RedisServer) -> None:
    url = redis.url
    redis.kill()
    redis.start()
    assert redis.url == url
    assert redis.answers()


def post(url: str, body: bytes = b"{}", timeout: float = 5) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, headers={"X-Test": "yes"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_recorder_keeps_everything(recorder: Recorder) -> None:
    assert post(f"{recorder.url}/slack?x=1", b'{"text": "hi"}') == (200, b"ok")
    [request] = recorder.wait(1, path="/slack")
    assert (request.method, request.path, request.json()) == ("POST", "/slack?x=1", {"text": "hi"})
    assert request.headers["x-test"] == "yes"
    assert recorder.accepted == [request]
    assert recorder.to("/other") == []


def test_the_recorder_plays_pagerduty(recorder: Recorder) -> None:
    status, body = post(recorder.url + PAGERDUTY, b'{"dedup_key": "k"}')
    assert status == 202
    assert b'"dedup_key": "k"' in body


def test_the_recorder_misbehaves_as_told_and_recovers(recorder: Recorder) -> None:
    recorder.answer(503, times=2)
    recorder.answer(429, headers={"Retry-After": "7"}, times=1, path="/slack")
    assert [post(f"{recorder.url}/slack")[0] for _ in range(4)] == [503, 503, 429, 200]
    assert len(recorder.accepted) == 1


def test_the_recorder_hangs(recorder: Recorder) -> None:
    recorder.hang()
    with pytest.raises(TimeoutError):
        post(recorder.url, timeout=0.2)
    recorder.accept()
    assert post(recorder.url)[0] == 200
    assert [request.status for request in recorder.wait(2)] == [None, 200]


def test_the_recorder_drops(recorder: Recorder) -> None:
    recorder.drop(times=1)
    with pytest.raises(ConnectionError):
        post(recorder.url)
    assert post(recorder.url)[0] == 200


def test_the_recorder_answers_slowly(recorder: Recorder) -> None:
    recorder.answer(delay=30, times=1)
    with pytest.raises(TimeoutError):
        post(recorder.url, timeout=0.2)


def test_the_recorder_refuses_and_comes_back_on_its_port(recorder: Recorder) -> None:
    recorder.refuse()
    with pytest.raises(urllib.error.URLError, match="refused"):
        post(recorder.url)
    recorder.accept()
    assert post(recorder.url)[0] == 200


def test_two_recorders_do_not_mix(make_recorder: Callable[[], Recorder]) -> None:
    slack, pager = make_recorder(), make_recorder()
    post(slack.url)
    assert (len(slack.requests), len(pager.requests)) == (1, 0)


def test_waiting_in_vain_says_what_came(recorder: Recorder) -> None:
    with pytest.raises(AssertionError, match=r"0 requests in 0\.01 s, 1 were expected"):
        recorder.wait(1, deadline=0.01)


def a_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "Grüße"
    mail.set_content("Hello")
    return mail


def test_smtp_keeps_mails_and_logins(smtp: SmtpSink) -> None:
    with smtplib.SMTP(smtp.host, smtp.port) as client:
        client.login("user", "password")
        client.send_message(a_mail())
    [mail] = smtp.wait(1)
    assert mail["Subject"] == "Grüße"
    assert smtp.recipients == [["b@example.com"]]
    assert smtp.logins == [("user", "password")]


def test_smtp_refuses_as_told(smtp: SmtpSink) -> None:
    smtp.answer("451 later, please")
    with smtplib.SMTP(smtp.host, smtp.port) as client, pytest.raises(smtplib.SMTPDataError, match="later"):
        client.send_message(a_mail())
    assert smtp.messages == []


def test_a_bucket_is_new_and_keeps_bytes(bucket: Bucket) -> None:
    assert bucket.keys() == []
    bucket.put("a/b c.bin", b"\0\1")
    assert bucket.get("a/b c.bin") == b"\0\1"
    assert bucket.keys("a/") == ["a/b c.bin"]
    assert bucket.uploads() == []
    bucket.delete("a/b c.bin")
    assert bucket.keys() == []


def test_nginx_serves_and_reloads(nginx: Callable[[str], NginxServer]) -> None:
    server = nginx("server { listen 127.0.0.1:{port}; return 200 first; }")
    assert post(server.url) == (200, b"first")
    server.reload("server { listen 127.0.0.1:{port}; return 200 second; }")
    eventually(lambda: post(server.url) == (200, b"second"))
    eventually(lambda: '"POST / HTTP/1.1" 200' in server.access_log())


def test_the_fault_proxy_passes_and_cuts(
    recorder: Recorder, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    proxy = fault_proxy(recorder.port)
    url = f"http://127.0.0.1:{proxy.port}/"
    assert post(url)[0] == 200
    proxy.cut_after(1000)
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        post(url, b"x" * 2_000_000)
    proxy.heal()
    assert post(url, b"x" * 2_000_000)[0] == 200
    assert len(recorder.requests) == 2


def test_the_fault_proxy_stalls_and_refuses(
    recorder: Recorder, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    proxy = fault_proxy(recorder.port)
    url = f"http://127.0.0.1:{proxy.port}/"
    proxy.stall()
    with pytest.raises(TimeoutError):
        post(url, timeout=0.2)
    proxy.refuse()
    with pytest.raises(urllib.error.URLError, match="refused"):
        post(url)
    proxy.heal()
    assert post(url)[0] == 200


def test_a_reset_reaches_the_client(recorder: Recorder, fault_proxy: Callable[[int], FaultProxy]) -> None:
    proxy = fault_proxy(recorder.port)
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        eventually(lambda: proxy.connections)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_docker_runs_containers_without_any_registry(dockerd: DockerServer) -> None:
    name = dockerd.run("sh", "-c", "echo hello; exec sleep 600")
    assert dockerd.state(name) == "running"
    eventually(lambda: dockerd.docker("logs", name) == "hello")
    dockerd.docker("kill", name)
    eventually(lambda: dockerd.state(name) == "exited")
    dockerd.docker("start", name)
    assert dockerd.state(name) == "running"
    assert dockerd.docker("exec", name, "cat", "/proc/1/comm") == "sleep"


def test_docker_makes_images_with_files(dockerd: DockerServer) -> None:
    image = dockerd.make_image("example/page:2", www__index="second")
    assert dockerd.docker("run", "--rm", "--network", "none", image, "cat", "/www/index") == "second"


def test_docker_is_a_swarm_when_asked(dockerd: DockerServer) -> None:
    dockerd.swarm()
    dockerd.docker(
        "service", "create", "-d", "--name", "api", "--network", "host", dockerd.image, "sleep", "600"
    )
    eventually(
        lambda: "Running" in dockerd.docker("service", "ps", "--format", "{{.CurrentState}}", "api"), 30
    )


async def test_chromium_is_real_and_axe_sees(page: Page, recorder: Recorder) -> None:
    html = b"<!doctype html><html lang=en><title>t</title><main><h1>Hi</h1><img src=data:,></main></html>"
    recorder.answer(
        200, html, headers={"Content-Type": "text/html", "Content-Security-Policy": "script-src 'none'"}
    )
    await page.goto(recorder.url)
    assert await page.inner_text("h1") == "Hi"
    [fault] = await axe(page)
    assert fault.startswith("image-alt (critical) at ['img']")
    await page.evaluate("document.querySelector('img').alt = 'a picture'")
    assert await axe(page) == []


async def test_chromium_again_in_the_same_worker(page: Page) -> None:
    await page.set_content("<p>again</p>")
    assert await page.inner_text("p") == "again"


def test_eventually_returns_the_value_and_forgives_early_errors() -> None:
    attempts = iter([ValueError("early"), 0, "late"])

    def next_attempt() -> object:
        value = next(attempts)
        if isinstance(value, Exception):
            raise value
        return value

    assert eventually(next_attempt) == "late"


def test_eventually_says_what_it_saw_last() -> None:
    with pytest.raises(NeverHappened, match=r"within 0.02 s, last it was \[\]"):
        eventually(list, deadline=0.02)


async def test_eventually_in_a_loop_takes_functions_and_coroutines() -> None:
    async def yes() -> str:
        return "yes"

    assert await aeventually(yes) == "yes"
    assert await aeventually(lambda: "plain") == "plain"
    with pytest.raises(NeverHappened):
        await aeventually(lambda: None, deadline=0.01)


def test_a_missing_engine_skips_and_where_all_are_wanted_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTAY_ENGINES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-engine is not here"):
        program("no-such-engine", "some-package")
    monkeypatch.setenv("MAINSTAY_ENGINES", "all")
    with pytest.raises(pytest.fail.Exception, match="install the package some-package"):
        program("no-such-engine", "some-package")


def test_a_new_machine_gets_every_engine_that_tests_start() -> None:
    """Debian's own tools are everywhere; the client of SSH comes with its server."""
    text = (ROOT / "dev").read_text()
    named = re.search(r"^TEST_ENGINES='([^']*)'", text, re.MULTILINE)
    assert named is not None
    package_of = dict(re.findall(r"^([a-z-]+):[^: \n]+:([a-z.-]+)$", text, re.MULTILINE))
    fetched = {package_of[engine] for engine in named[1].split()}
    wanted = {
        package
        for path in (ROOT / "tests").rglob("*.py")
        for packages in re.findall(r'program\("[^"]+", "([^"]+)"\)', path.read_text())
        for package in packages.split()
    }
    assert wanted - fetched == {"apt", "dpkg", "openssh-client", "some-package", "systemd"}


def test_an_engine_that_ends_at_once_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3: no such option"):
        started(lambda: Engine(["sh", "-c", "echo no such option; exit 3"], tmp_path / "log"), lambda: False)
