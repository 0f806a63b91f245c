"""The dashboard in a real browser: with scripts, without them, by keyboard, on a phone, for everybody."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from mainstay.core.check import Result, Verdict
from mainstay.core.run import RunState
from mainstay.store import results, runs, views
from mainstay.store.base import Tx
from mainstay.web.plan import Plan
from tests.servers.browser import axe
from tests.web.addresses import addresses
from tests.web.booted import Booted, booted

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DESK = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=360, height=740)
Scheme = Literal["light", "dark"]
Enter = Callable[..., Any]


@asynccontextmanager
async def entered(
    browser: Browser,
    site: Booted,
    *,
    script: bool = True,
    view: ViewportSize = DESK,
    scheme: Scheme = "light",
) -> AsyncIterator[Page]:
    """A page of somebody who is logged in. Errors of its scripts and refusals of its policy fail the test."""
    context = await browser.new_context(java_script_enabled=script, viewport=view, color_scheme=scheme)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None
    )
    await page.goto(f"{site.url}/login")
    await page.fill("[name=password]", site.password)
    await page.press("[name=password]", "Enter")
    await expect(page.locator("#main")).to_be_visible()
    yield page
    await context.close()
    assert faults == []


async def test_acknowledge_and_run_now(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site) as page:
        await expect(page.get_by_role("heading", level=1)).to_have_text("Order API is failing.")
        await page.get_by_role("button", name="Acknowledge").click()
        await expect(page.get_by_text("admin takes care of it")).to_be_visible()
        await page.get_by_role("link", name="Jobs", exact=True).click()
        await page.get_by_role("row", name=re.compile("journal_backup")).get_by_role("button").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("journal_backup")
        await expect(page.get_by_text("Waits")).to_be_visible()


async def test_news_arrives_without_a_reload(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site) as page:
        await page.evaluate("window.kept = true")
        await expect(page.locator("#service-api")).to_contain_text("Failing")
        fine = [
            Result(one, one.partition("/")[0], Verdict.OK, "fine again", site.clock.now())
            for one in ("api/http", "db1/disk")
        ]
        await site.store.write(lambda tx: results.record(tx, fine))
        await expect(page.locator("#service-api")).to_contain_text("Healthy", timeout=15_000)
        assert await page.evaluate("window.kept") is True


async def test_a_refresh_keeps_what_one_is_typing_and_what_is_open(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site) as page:
        path = (await addresses(site))["incident"]
        await page.goto(site.url + path)
        await page.locator("summary", has_text="restart").first.click()
        await expect(page.get_by_text("order-api.service restarted").first).to_be_visible()
        await page.fill("[name=text]", "half a sentence")
        identifier = path.rpartition("/")[2]

        def note(tx: Tx) -> None:
            tx.run(
                "incidents.add_event",
                id="zz",
                incident=identifier,
                at=site.clock.now(),
                kind="note",
                detail="somebody else's note",
                facts="{}",
            )
            tx.signal("incidents")

        await site.store.write(note)
        await expect(page.get_by_text("somebody else's note")).to_be_visible(timeout=15_000)
        await expect(page.locator("[name=text]")).to_have_value("half a sentence")
        await expect(page.get_by_text("order-api.service restarted").first).to_be_visible()


async def test_a_lost_connection_is_said(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site) as page:
        await page.context.set_offline(True)
        site.app.state.site.live.end()
        await expect(page.locator("#offline")).to_contain_text("Connection lost", timeout=30_000)


async def test_a_log_grows_and_a_run_ends_before_ones_eyes(chromium: Browser, site: Booted) -> None:
    path = (await addresses(site))["run"]
    run = await site.store.read(lambda tx: runs.get(tx, path.rpartition("/")[2]))
    assert run

    def line(tx: Tx) -> None:
        runs.add_lines(tx, run.id, [(site.clock.now(), "<b>one</b> more part")])
        tx.signal("log")

    def end(tx: Tx) -> None:
        runs.settle(tx, run, RunState.DONE, site.clock.now(), summary="all rows equal")
        tx.signal("runs")

    async with entered(chromium, site) as page:
        await page.goto(site.url + path)
        await expect(page.locator("#log-lines")).to_contain_text("4.1 GB of binary data")
        await site.store.write(line)
        await expect(page.locator("#log-lines")).to_contain_text("<b>one</b> more part", timeout=15_000)
        await site.store.write(end)
        await expect(page.get_by_text("all rows equal")).to_be_visible(timeout=15_000)
        await expect(page.locator("#log-lines")).to_contain_text("<b>one</b> more part")


async def test_everything_works_without_scripts(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site, script=False) as page:
        await page.fill("[name=q]", "redis")
        await page.press("[name=q]", "Enter")
        await expect(page.locator("[data-row]")).to_have_count(1)
        await page.get_by_role("link", name="Redis").click()
        await expect(page.locator(".plot svg path.p95")).to_have_count(1)
        await page.fill("[name=why]", "moving")
        await page.get_by_role("button", name="Silence").click()
        await expect(page.get_by_text("silenced until")).to_be_visible()
        await page.get_by_role("button", name="Switch between light and dark").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.get_by_role("link", name="Keyboard shortcuts").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Keyboard")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


async def test_the_keyboard_is_enough(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site) as page:
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await page.keyboard.press("/")
        await expect(page.locator("[data-search-field]")).to_be_focused()
        await page.keyboard.type("mcp")
        await expect(page.locator("[data-row]")).to_have_count(1)
        assert page.url.endswith("/?q=mcp")
        await expect(page.locator("[data-search-field]")).to_be_focused()
        await page.keyboard.press("Escape")
        await page.keyboard.press("j")
        await expect(page.get_by_role("link", name="MCP server")).to_be_focused()
        for key, place in {
            "i": "/incidents",
            "j": "/jobs",
            "b": "/backups",
            "c": "/channels",
            "r": "/readiness",
            "o": "/",
        }.items():
            await page.keyboard.press("g")
            await page.keyboard.press(key)
            await page.wait_for_url(site.url + place)
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await page.keyboard.press("t")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_a_plot_and_a_tick_tell_more(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site) as page:
        await page.goto(f"{site.url}/services/odoo")
        await expect(page.locator(".u-wrap canvas")).to_have_count(1)
        await page.locator(".bar.tall").first.hover(position={"x": 5, "y": 10})
        await expect(page.locator(".tip")).to_contain_text(": healthy")
        await page.locator(".u-over").hover()
        await expect(page.locator(".u-legend")).to_contain_text("ms")


async def test_a_phone_shows_every_page_without_sideways_scrolling(chromium: Browser, site: Booted) -> None:
    async with entered(chromium, site, view=PHONE) as page:
        for name, path in (await addresses(site)).items():
            await page.goto(site.url + path)
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, f"{name} is {wide} wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_serious_fault(chromium: Browser, site: Booted, scheme: Scheme) -> None:
    """In the dark nothing but the colours is different, and all pages take these from one palette."""
    dark = scheme == "dark"
    look = partial(axe, only=["color-contrast"] if dark else [])
    async with entered(chromium, site, scheme=scheme) as page:
        for name, path in list((await addresses(site)).items())[:: 4 if dark else 1]:
            await page.goto(site.url + path)
            assert await look(page) == [], name
        await page.goto(f"{site.url}/nowhere")
        assert await look(page) == []
        await page.goto(site.url)
        await page.keyboard.press("?")
        assert await look(page) == [], "help"
        await page.set_viewport_size(PHONE)
        for path in ("/", "/services/api", "/jobs", "/backups"):
            await page.goto(site.url + path)
            assert await look(page) == [], path
        await page.context.clear_cookies()
        await page.goto(f"{site.url}/login")
        assert await look(page) == [], "login"


async def test_axe_finds_nothing_on_empty_pages(chromium: Browser, tmp_path: Path) -> None:
    async with booted(tmp_path, plan=Plan("fresh")) as site, entered(chromium, site) as page:
        for path in ("/", "/incidents", "/jobs", "/backups", "/channels"):
            await page.goto(site.url + path)
            assert await axe(page) == [], path


async def test_hostile_texts_run_nothing(chromium: Browser, hostile_site: Booted) -> None:
    async with entered(chromium, hostile_site) as page:
        asked: list[str] = []
        page.on("dialog", lambda dialog: asked.append(dialog.message))
        for path in (await addresses(hostile_site)).values():
            await page.goto(hostile_site.url + path)
            await expect(page.locator("#main")).to_be_visible()
        assert asked == []
        assert await hostile_site.store.read(lambda tx: views.frame(tx)["open_incidents"]) == 2
