"""A real Chromium, the system's, driven through Playwright; and axe, which looks for what keeps people out."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.servers.process import program

# Everything that Chromium would ask the network for by itself is off; only loopback can be reached.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    "--no-first-run",
)
SERIOUS = frozenset({"serious", "critical"})


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser for one test. Contexts of their own (`new_context(color_scheme="dark", ...)`) share nothing."""
    binary = program("chromium", "chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=binary,
            args=list(FLAGS),
            # Chromium's sandbox refuses to be root.
            chromium_sandbox=os.geteuid() != 0,
        )
        try:
            yield browser
        finally:
            await browser.close()


def axe_source() -> str:
    """The text of axe-core, as a package carries it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()


async def axe(page: Page, impacts: frozenset[str] = SERIOUS, only: Sequence[str] = ()) -> list[str]:
    """Accessibility faults of a page, one line each: rule, impact, where, remedy. `impacts` picks the grave ones.

    With `only` these rules are looked at and no others."""
    if not await page.evaluate("typeof window.axe === 'object'"):
        # Not a script element: a page's own content security policy may forbid those.
        await page.evaluate(axe_source() + ";undefined")
    script = "only => axe.run(only.length ? {runOnly: only} : {}).then(result => result.violations)"
    violations: list[dict[str, Any]] = await page.evaluate(script, list(only))
    return [
        f"{found['id']} ({found['impact']}) at {node['target']}: {found['help']}"
        for found in violations
        if found["impact"] in impacts
        for node in found["nodes"]
    ]
