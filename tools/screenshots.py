"""Writes a picture of every page of the dashboard: light and dark, on a desk and on a phone.

.venv/bin/python tools/screenshots.py DIRECTORY [PAGE ...]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parent.parent))

from playwright.async_api import Browser, BrowserContext, ViewportSize

from mainstay.web.plan import Plan
from tests.servers.browser import chromium
from tests.web.addresses import addresses
from tests.web.booted import Booted, booted, make_past
from tools.png import shrink

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PICTURES: tuple[tuple[Scheme, str], ...] = (("light", "overview.png"), ("dark", "overview-dark.png"))
DESK = ViewportSize(width=1360, height=900)
PAPER = ViewportSize(width=1280, height=960)
PHONE = ViewportSize(width=360, height=780)


async def shoot(browser: Browser, site: Booted, target: Path, names: list[str], prefix: str = "") -> None:
    """One picture of each page in each look."""
    pages = (
        await addresses(site)
        if not prefix
        else {
            "overview": "/",
            "incidents": "/incidents",
            "jobs": "/jobs",
            "backups": "/backups",
            "channels": "/channels",
        }
    )
    for scheme in SCHEMES:
        for size, view in (("desk", DESK), ("phone", PHONE)):
            context = await browser.new_context(
                color_scheme=scheme, viewport=view, device_scale_factor=1 if size == "desk" else 2
            )
            await enter(context, site)
            for name, path in pages.items():
                if names and name not in names:
                    continue
                page = await context.new_page()
                await page.clock.set_fixed_time(site.clock.now())
                await page.goto(site.url + path)
                await page.evaluate("document.fonts.ready")
                if name.startswith(("service", "gateway")):
                    await page.wait_for_selector(".u-wrap")
                await page.screenshot(path=target / f"{prefix}{name}-{size}-{scheme}.png", full_page=True)
                await page.close()
            if not names or "login" in names:
                await login_page(browser, site, target, scheme, size)
            await context.close()


async def enter(context: BrowserContext, site: Booted) -> None:
    """Log in once for all pages of a look."""
    page = await context.new_page()
    await page.goto(f"{site.url}/login")
    await page.fill("[name=password]", site.password)
    await page.click("button[type=submit]")
    await page.wait_for_selector("#main")
    await page.close()


async def login_page(browser: Browser, site: Booted, target: Path, scheme: Scheme, size: str) -> None:
    """The page before the others."""
    view = DESK if size == "desk" else PHONE
    context = await browser.new_context(color_scheme=scheme, viewport=view)
    page = await context.new_page()
    await page.goto(f"{site.url}/login")
    await page.screenshot(path=target / f"login-{size}-{scheme}.png")
    await context.close()


async def documents(target: Path) -> None:
    """The pictures in README and documents: the overview, light and dark, small."""
    with tempfile.TemporaryDirectory() as directory:
        past = await make_past(Path(directory))
        async with chromium() as browser, booted(Path(directory, "full"), past=past) as site:
            for scheme, name in PICTURES:
                context = await browser.new_context(color_scheme=scheme, viewport=PAPER)
                await enter(context, site)
                page = await context.new_page()
                await page.clock.set_fixed_time(site.clock.now())
                await page.goto(site.url)
                await page.evaluate("document.fonts.ready")
                await page.screenshot(path=target / name)
                print(f"{name}: {shrink(target / name)} bytes")
                await context.close()


async def main(target: Path, names: list[str]) -> None:
    """Boot, look, write."""
    with tempfile.TemporaryDirectory() as directory:
        async with chromium() as browser:
            full, bare = Path(directory, "full"), Path(directory, "bare")
            async with booted(full, past=await make_past(Path(directory))) as site:
                await shoot(browser, site, target, names)
            if not names or "empty" in names:
                async with booted(bare, plan=Plan("fresh")) as site:
                    await shoot(browser, site, target, [], prefix="empty-")
    print(f"pictures are in {target}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: tools/screenshots.py DIRECTORY [PAGE ...] | --docs")
    where = Path("docs/images" if sys.argv[1] == "--docs" else sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    asyncio.run(documents(where) if sys.argv[1] == "--docs" else main(where, sys.argv[2:]))
