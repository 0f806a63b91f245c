"""API keys at the command line: shown once, listed by their beginning, gone when revoked."""

from __future__ import annotations

import pytest

from mainstay.store import keys
from tests.cli.conftest import TEXT, Cli, Company

GATEWAY = """
gateway:
  routes: [{path: /}]
  plans: {free: 100/min, paid: 1000/min}
  auth: {keys: {}}
"""


@pytest.fixture
def shop(company: Company) -> Company:
    company.write(TEXT + GATEWAY)
    company.change(lambda tx: None)
    return company


def test_a_key_from_its_making_to_its_end(shop: Company, cli: Cli, now: float) -> None:
    assert cli("keys", "list").out == "there is no key\n"
    assert (
        "would make a key for shop-1, plan paid"
        in cli("keys", "create", "shop-1", "--plan", "paid", "--dry-run").out
    )
    assert cli("keys", "list").out == "there is no key\n"
    made = cli("keys", "create", "shop-1", "--plan", "paid", "--for", "90d", "--note", "the web shop")
    text = made.out.strip()
    assert "it is not shown again" in made.err
    (live,) = shop.change(lambda tx: keys.live(tx, now))
    assert live.hash == keys.hash_of(text)
    listed = cli("keys", "list")
    assert text not in listed.out
    for word in (f"ms_{live.id}", "shop-1", "paid", "never", "the web shop"):
        assert word in listed.out
    assert "would revoke" in cli("keys", "revoke", f"ms_{live.id}", "--dry-run").out
    assert cli("keys", "revoke", f"ms_{live.id}").out == f"ms_{live.id} of shop-1 opens nothing any more\n"
    assert shop.change(lambda tx: keys.live(tx, now)) == []
    assert cli("keys", "revoke", f"ms_{live.id}").code == 1
    assert cli("keys", "list").out == "there is no key\n"
    assert cli("keys", "list", "--all", "--json").data["keys"][0]["state"] == "revoked"


def test_a_key_for_programs(shop: Company, cli: Cli) -> None:
    said = cli("keys", "create", "bank", "--json").data
    assert keys.shown(said["key"]) == said["id"].removeprefix("ms_")
    assert said["expires_at"] is None
    # A whole key may be given too, so that one that leaked can be revoked as it was found.
    assert cli("keys", "revoke", said["key"], "--json").data["revoked"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "shop", "--plan", "payed"], "did you mean paid?"),
        (["create", "a b"], "cannot be put into a header"),
        (["create", "a\r\nb"], "cannot be put into a header"),
        (["create", "shop", "--for", "soon"], "'soon' is not a duration"),
        (["create", "shop", "--for", "0s"], "not a time to work"),
        (["revoke", "ms_aaaaaaaaaa"], "there is no such key"),
        (["revoke", "x"], "there is no such key"),
    ],
)
def test_what_is_wrong_is_said(shop: Company, cli: Cli, arguments: list[str], words: str) -> None:
    said = cli("keys", *arguments)
    assert said.code in (1, 2)
    assert words in said.err
    assert "hint:" in said.err


def test_a_gateway_that_takes_none_makes_none(company: Company, cli: Cli) -> None:
    assert "keys: {}" in cli("keys", "create", "shop").err
