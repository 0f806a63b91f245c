"""What browsers load once: small, compressed, kept for ever, changed by name."""

from __future__ import annotations

import gzip
import re

from mainstay.web.static import ROOT, assets
from tests.web.addresses import addresses
from tests.web.booted import Booted, Client
from tests.web.markup import Markup

BUDGET = 50_000
"""Bytes of compressed script that any page may load."""


async def test_scripts_of_every_page_stay_within_the_budget(site: Booted, client: Client) -> None:
    for path in (await addresses(site)).values():
        page = await client.get(path)
        loaded = [str(found["src"]) for tag, found in Markup(page.text).tags if tag == "script"]
        bodies = [assets().files[source.split("/", 3)[3]] for source in loaded]
        assert sum(len(one.packed or one.body) for one in bodies) < BUDGET, path
        assert len(gzip.compress(page.text.encode())) < 40_000, path


async def test_files_are_compressed_and_kept_for_ever(client: Client) -> None:
    url = assets().url("mainstay.css")
    answer = await client.get(url)
    assert answer.status == 200
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "immutable" in answer.headers["Cache-Control"]
    again = await client.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    plain = await client.get(url, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.text == (ROOT / "mainstay.css").read_text()
    old = await client.get("/static/0123/mainstay.css")
    assert old.headers["Cache-Control"] == "no-cache"
    for missing in ("/static/x/none.css", "/static/x/../../app.py", "/static/x/vendor/README.md"):
        assert (await client.get(missing)).status == 404


async def test_pages_are_compressed(client: Client) -> None:
    assert (await client.get("/")).headers["Content-Encoding"] == "gzip"


def test_every_vendored_file_has_its_version_and_licence() -> None:
    readme = (ROOT / "vendor/README.md").read_text()
    for path in (ROOT / "vendor").iterdir():
        if path.name != "README.md":
            assert f"`{path.name}`" in readme
    uplot = (ROOT / "vendor/uplot.min.js").read_text()
    assert "v1.6.32" in uplot[:80]
    assert 'version="4.0.1"' in (ROOT / "vendor/htmx.min.js").read_text().replace("'", '"')


def test_dark_by_hand_is_dark_by_system() -> None:
    sheet = (ROOT / "mainstay.css").read_text()
    system = re.search(r':root:not\(\[data-theme="light"\]\) \{(.*?)\}', sheet, re.DOTALL)
    by_hand = re.search(r':root\[data-theme="dark"\] \{(.*?)\}', sheet, re.DOTALL)
    assert system
    assert by_hand
    assert system[1].split() == by_hand[1].split()


def test_components_use_tokens_only() -> None:
    sheet = (ROOT / "mainstay.css").read_text()
    components = sheet.partition("/* --- ground")[2]
    colours = set(re.findall(r"#[0-9a-fA-F]{3,8}\b", components))
    assert colours <= {"#fff", "#c42c38", "#7f1d1d"}, "white on a filled badge, and the badge's own red"


def test_what_pages_name_exists() -> None:
    used = {
        name
        for path in (ROOT.parent / "templates").glob("*.html")
        for name in re.findall(r"static\('([^']+)'\)", path.read_text())
    }
    assert used
    assert used <= set(assets().files)
