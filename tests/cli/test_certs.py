"""`mainstay certs`: what there is, what would be done, and what something else has got."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mainstay.store import certificates
from mainstay.store.certificates import Certificate
from tests.cli.conftest import Cli, Company
from tests.servers.acme import Acme
from tests.servers.authority import Authority

DAY = 86400.0
TEXT = """
name: shop
state_dir: state
certificates:
  - {names: [a.test, www.a.test], served: unchecked, server: "https://127.0.0.1:9/dir"}
  - {names: [b.test], served: unchecked, server: "https://127.0.0.1:9/dir"}
"""


@pytest.fixture
def shop(company: Company, now: float) -> Company:
    company.write(TEXT)
    row = Certificate(
        name="a.test",
        names=("a.test", "www.a.test"),
        serial="04",
        issuer="R11",
        not_before=now - 60 * DAY,
        not_after=now + 30.45 * DAY,
        served_at=now - 7200,
        due_at=now - 60,
        due_why="two thirds of its 90d are over then",
    )
    company.change(lambda tx: certificates.put(tx, row))
    return company


def test_the_list(shop: Company, cli: Cli) -> None:
    said = cli("certs", "list")
    assert said.code == 0
    first, second = (line for line in said.out.splitlines() if ".test" in line)
    assert first.split()[1:4] == ["a.test", "30d", "10h"]
    assert "2h ago" in first
    assert "none yet" in second
    found = cli("certs", "list", "--json").data["certificates"]
    assert [one["name"] for one in found] == ["a.test", "b.test"]
    assert found[0]["days_left"] == pytest.approx(30.45, abs=0.05)
    assert found[1]["days_left"] is None


def test_a_fault_stands_below_its_certificate(shop: Company, cli: Cli) -> None:
    shop.change(lambda tx: certificates.put(tx, Certificate("b.test", fault="no DNS today", failures=1)))
    assert "no DNS today" in cli("certs", "list").out


def test_what_would_be_renewed(shop: Company, cli: Cli, now: float) -> None:
    found = {one["certificate"]: one for one in cli("certs", "renew", "--dry-run", "--json").data["would"]}
    assert found["a.test"] == {
        "certificate": "a.test",
        "order": True,
        "why": "two thirds of its 90d are over then",
    }
    assert found["b.test"]["order"] is True
    waiting = Certificate("b.test", failures=2, retry_at=now + 7200, fault="no DNS")
    shop.change(lambda tx: certificates.put(tx, waiting))
    (only,) = cli("certs", "renew", "b.test", "--dry-run", "--json").data["would"]
    assert (only["order"], "after 2 failures" in only["why"]) == (False, True)
    (forced,) = cli("certs", "renew", "b.test", "--force", "--dry-run", "--json").data["would"]
    assert forced["order"] is True


def test_a_name_that_is_none(shop: Company, cli: Cli) -> None:
    said = cli("certs", "renew", "a.tset")
    assert said.code == 2
    assert "did you mean a.test?" in said.err


def test_none_is_configured(company: Company, cli: Cli) -> None:
    assert cli("certs", "list").out == "no certificate is configured\n"
    assert cli("certs", "renew").code == 2


def test_the_doctor_says_whether_an_order_could_begin(company: Company, cli: Cli, acme: Acme) -> None:
    acme_at = f'server: "{acme.directory}", server_ca: {acme.ca}'
    company.write(
        "name: shop\nstate_dir: state\ncertificates:\n"
        f"  - {{names: [good.test], {acme_at}}}\n"
        f"  - {{names: [nowhere.test], webroot: nowhere, {acme_at}}}\n"
        f"  - {{names: [dns.test], dns: gandi, {acme_at}}}\n"
        '  - {names: [away.test], server: "https://127.0.0.1:9/dir"}\n'
    )
    lines = {line["what"]: line for line in cli("doctor", "--json").data["lines"]}
    good = lines["certificate good.test"]
    assert (good["state"], good["detail"]) == ("ok", "none yet; its authority answers")
    assert "nowhere cannot be written" in lines["certificate nowhere.test"]["detail"]
    assert "plug-in for gandi is not installed" in lines["certificate dns.test"]["detail"]
    away = lines["certificate away.test"]
    assert (away["state"], "127.0.0.1:9" in away["detail"]) == ("fail", True)


def lineage(place: Path, *names: str, left: timedelta = timedelta(days=60)) -> Path:
    certificate, key = Authority(place).issue(*names, left=left)
    directory = place / "live"
    directory.mkdir(exist_ok=True)
    certificate.rename(directory / "fullchain.pem")
    key.rename(directory / "privkey.pem")
    return directory


def test_a_lineage_is_brought_in(shop: Company, cli: Cli) -> None:
    live = lineage(shop.home, "a.test", "www.a.test")
    said = cli("certs", "import", "a.test", "--lineage", str(live), "--dry-run")
    assert (said.code, "would put" in said.out) == (0, True)
    assert not (shop.home / "state" / "certs").exists()
    said = cli("certs", "import", "a.test", "--lineage", str(live), "--json")
    assert said.code == 0, said.err
    (run,) = said.data["runs"]
    assert run["outcome"]["action"] == "installed"
    there = shop.home / "state" / "certs" / "a.test"
    assert (there / "fullchain.pem").read_text() == (live / "fullchain.pem").read_text()
    (first, _) = cli("certs", "list", "--json").data["certificates"]
    assert first["serial"] == run["outcome"]["serial"]


def test_what_is_of_no_use_is_refused(shop: Company, cli: Cli) -> None:
    live = lineage(shop.home, "a.test", left=timedelta(seconds=-1))
    assert "has expired" in cli("certs", "import", "a.test", "--lineage", str(live)).err
    live = lineage(shop.home, "b.test")
    said = cli("certs", "import", "a.test", "--lineage", str(live), "--dry-run")
    assert "does not cover a.test, www.a.test" in said.err
    assert cli("certs", "import", "a.test", "--cert", str(live / "fullchain.pem")).code == 2
    assert cli("certs", "import", "a.test", "--lineage", "/nowhere").code == 1
    pair = ("--cert", str(live / "fullchain.pem"), "--key", str(live / "fullchain.pem"))
    assert "the key cannot be read" in cli("certs", "import", "a.test", *pair).err
