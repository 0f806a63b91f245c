"""Who gets in, who is refused, and what a page tells a browser to forbid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from mainstay.core.secret import Secret
from mainstay.ports.clock import FakeClock
from mainstay.store import accounts, views
from mainstay.web.app import routes
from mainstay.web.pages.account import local
from mainstay.web.security import Guesses, mask, network, unmask
from tests.web.addresses import addresses
from tests.web.booted import Booted, Client, booted

TOKEN = "a-long-token-for-scripts"


def posts() -> list[str]:
    """Every address that takes a form from somebody who is logged in."""
    found = [route.path for route in routes() if isinstance(route, Route) and "POST" in (route.methods or ())]
    return [path for path in found if path != "/login" and "{rest" not in path]


def filled(path: str) -> str:
    """An address with something in every place."""
    return re.sub(r"\{[^}]+\}", "x", path)


# --- logging in ----------------------------------------------------------------------------------------------------


async def test_nobody_gets_in_without_a_login(site: Booted) -> None:
    async with site.client(login=False) as client:
        for path in (await addresses(site)).values():
            page = await client.get(path, allow_redirects=False)
            assert page.status == 303
            assert page.headers["Location"].startswith("/login?next=")
        for path in ("/events", "/api/v1/status", "/api/v1/nothing", "/runs/x/log"):
            answer = await client.get(path, headers={"Accept": "application/json"})
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert "hint" in answer.text


async def test_live_updates_of_a_stranger_lead_to_the_login(site: Booted) -> None:
    async with site.client(login=False) as client:
        answer = await client.get("/", headers={"HX-Request": "true"})
        assert answer.status == 401
        assert answer.headers["HX-Redirect"] == "/login"


async def test_login_leads_back_to_where_one_wanted_to_go(site: Booted) -> None:
    async with site.client(login=False) as client:
        wanted = await client.get("/jobs?x=1")
        assert 'name="next" value="/jobs?x=1"' in wanted.text
        landed = await client.post(
            "/login",
            {"csrf": wanted.csrf, "account": "admin", "password": site.password, "next": "/jobs?x=1"},
        )
        assert landed.url == f"{site.url}/jobs?x=1"
        again = await client.get("/login", allow_redirects=False)
        assert again.status == 303


@pytest.mark.parametrize(
    "where", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "/a\nb"]
)
def test_a_login_never_leads_elsewhere(where: str) -> None:
    assert local(where) == "/"


async def test_wrong_passwords_are_refused_and_soon_not_even_tried(site: Booted) -> None:
    async with site.client(login=False) as client:
        for _ in range(5):
            assert await client.login("wrong") == 403
        assert await client.login(site.password) == 429
        form = await client.get("/login")
        refused = await client.post("/login", {"csrf": form.csrf, "account": "admin", "password": "x"})
        assert int(refused.headers["Retry-After"]) > 800
        assert "Too many failed logins" in refused.text
        await site.clock.advance(901)
        assert await client.login(site.password) == 200


async def test_unknown_accounts_are_told_nothing_more(site: Booted) -> None:
    async with site.client(login=False) as client:
        assert await client.login("wrong", account="nobody") == 403
        form = await client.get("/login")
        said = await client.post("/login", {"csrf": form.csrf, "account": "nobody", "password": "x"})
        assert "Account and password do not fit." in said.text
        assert 'value="nobody"' in said.text


async def test_a_login_form_from_elsewhere_is_refused(site: Booted) -> None:
    async with site.client(login=False) as client:
        form = {"account": "admin", "password": site.password, "csrf": "forged"}
        assert (await client.post("/login", form)).status == 403
        await client.get("/login")
        assert (await client.post("/login", form)).status == 403


async def test_a_login_ends_with_its_time_and_with_logging_out(site: Booted) -> None:
    async with site.client() as client:
        assert (await client.get("/", allow_redirects=False)).status == 200
        site.clock.step(8 * 86400)
        assert (await client.get("/", allow_redirects=False)).status == 303
        assert await client.login(site.password) == 200
        token = client.session_token
        left = await client.submit("/", "/logout")
        assert left.url.endswith("/login")
        stolen = {"Cookie": f"mainstay_session={token}"}
        assert (await client.get("/", headers=stolen, allow_redirects=False)).status == 303


async def test_a_login_in_use_is_remembered_now_and_then(site: Booted, client: Client) -> None:
    await site.clock.advance(700)
    await client.get("/help")
    token = client.session_token
    login = await site.store.read(lambda tx: accounts.find_login(tx, token, site.clock.now(), 1e9))
    assert login
    assert login.seen_at == site.clock.now()


async def test_no_secret_is_kept_as_it_is(site: Booted, client: Client) -> None:
    token = client.session_token
    journal = b"".join(path.read_bytes() for path in Path(site.store.path).parent.glob("journal.db*"))  # type: ignore[attr-defined]
    assert accounts.hash_token(token).encode() in journal
    assert token.encode() not in journal
    assert site.password.encode() not in journal


async def test_cookies_are_closed_to_scripts_and_other_sites(tmp_path: Path) -> None:
    async with booted(tmp_path, url="https://status.example.com") as site, site.client(login=False) as client:
        form = await client.get("/login")
        gate = form.headers["Set-Cookie"]
        assert "HttpOnly" in gate
        assert "SameSite=strict" in gate
        assert "Secure" in gate
        gate_value = gate.partition("=")[2].partition(";")[0]
        entered = await client.post(
            "/login",
            {"csrf": form.csrf, "account": "admin", "password": site.password},
            headers={"Cookie": f"mainstay_gate={gate_value}"},
            allow_redirects=False,
        )
        session = entered.headers["Set-Cookie"]
        assert session.startswith("__Host-mainstay_session=")
        assert "HttpOnly" in session
        assert "SameSite=lax" in session
        assert "Secure" in session
        assert "Path=/" in session


# --- forged requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", posts())
async def test_every_form_needs_its_pages_token(client: Client, path: str) -> None:
    for form in ({}, {"csrf": "forged"}, {"csrf": mask("forged")}):
        answer = await client.post(filled(path), form, allow_redirects=False)
        assert answer.status == 403, answer.text
        assert "not sent by our own page" in answer.text


async def test_a_good_token_from_another_site_is_refused_too(site: Booted, client: Client) -> None:
    page = await client.get("/jobs")
    before = await site.store.read(lambda tx: views.runs(tx, job="backup:hr"))
    for where in ("cross-site", "same-site"):
        answer = await client.post(
            "/jobs/backup:hr/run", {"csrf": page.csrf}, headers={"Sec-Fetch-Site": where}
        )
        assert answer.status == 403
    assert await site.store.read(lambda tx: views.runs(tx, job="backup:hr")) == before


async def test_another_logins_token_does_not_fit(site: Booted, client: Client) -> None:
    async with site.client() as other:
        page = await other.get("/jobs")
        assert (await client.post("/jobs/backup:hr/run", {"csrf": page.csrf})).status == 403


async def test_huge_forms_are_refused(client: Client) -> None:
    page = await client.get("/jobs")
    assert (await client.post("/theme", {"csrf": page.csrf, "back": "x" * 70_000})).status == 413
    assert (await client.post("/login", {"password": "x" * 70_000})).status == 413


def test_tokens_look_different_each_time() -> None:
    assert mask("token") != mask("token")
    assert unmask(mask("token")) == "token"
    assert unmask("!!") == unmask("é") == unmask("YWI") == ""


# --- headers -------------------------------------------------------------------------------------------------------


async def test_pages_forbid_what_they_do_not_need(client: Client) -> None:
    page = await client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cache-Control"] == "no-store"
    assert "server" not in {name.lower() for name in page.headers}


# --- the token of scripts ------------------------------------------------------------------------------------------


async def test_the_token_opens_the_api_and_the_metrics(tmp_path: Path) -> None:
    async with booted(tmp_path, token=Secret("web_token", TOKEN)) as site, site.client(login=False) as client:
        good, bad = {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Bearer wrong"}
        for path in ("/api/v1/status", "/metrics"):
            assert (await client.get(path, headers=good)).status == 200
            assert (await client.get(path, headers={**bad, "Accept": "application/json"})).status == 401
            assert (await client.get(path, headers={"Accept": "application/json"})).status == 401
        queued = await client.post("/api/v1/jobs/backup:hr/run", headers=good)
        assert queued.status == 202
        runs = await site.store.read(lambda tx: views.runs(tx, job="backup:hr"))
        assert runs[0]["why"] == "asked for by a script"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"X-Forwarded-For": "203.0.113.9"}, 401),
        ({"Forwarded": "for=203.0.113.9"}, 401),
        ({"Host": "evil.example"}, 401),
    ],
)
async def test_without_a_token_metrics_are_for_this_machine(
    site: Booted, headers: dict[str, str], status: int
) -> None:
    async with site.client(login=False) as client:
        assert (await client.get("/metrics", headers={"Accept": "*/*", **headers})).status == status


# --- guessing ------------------------------------------------------------------------------------------------------


def test_guesses_count_by_network_and_forget() -> None:
    clock = FakeClock()
    guesses = Guesses(clock, most=2, within=10, addresses=3)
    for host in ("2001:db8::1", "2001:db8::2"):
        guesses.failed(host)
    assert guesses.wait("2001:db8::3") == 10
    assert guesses.wait("2001:db8:0:1::1") == 0
    guesses.forget("2001:db8::9")
    assert guesses.wait("2001:db8::1") == 0
    for last in range(5):
        guesses.failed(f"192.0.2.{last}")
        guesses.failed(f"192.0.2.{last}")
    assert guesses.wait("192.0.2.0") == 0  # only so many addresses are remembered
    assert guesses.wait("192.0.2.4") == 10
    assert network("unknown") == "unknown"
