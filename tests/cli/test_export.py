"""`mainstay export`: where it writes, and what it says of what cannot be written."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli, Company

TEXT = """
name: shop
state_dir: state
edge: {gateway: 127.0.0.1:8422, pipeline: 4}
gateway:
  routes: [{path: /, origin: "http://127.0.0.1:8000"}]
  decide: {}
  sign: {secret: gateway_key}
webhooks:
  bank: {secrets: [{secret: bank}], deliver_to: "http://127.0.0.1:8069/bank"}
"""


@pytest.fixture
def shop(company: Company) -> Company:
    company.write(TEXT)
    return company


def test_it_writes_to_standard_output_and_warns_elsewhere(shop: Company, cli: Cli) -> None:
    """No secret has to be there for it: it is written on the machine of the proxy, or anywhere."""
    said = cli("export", "nginx", "--config", str(shop.file))
    assert said.code == 0
    assert "proxy_pass http://mainstay_gateway/decide/nginx;" in said.out
    assert "listen 80;" in said.out
    assert "location /hooks/ {" in said.out
    assert "# - edge.pipeline: nginx has nothing like it." in said.out
    assert "nginx: edge.pipeline: nginx has nothing like it." in said.err


def test_it_writes_files(shop: Company, cli: Cli) -> None:
    target = shop.home / "proxy.cfg"
    said = cli("export", "haproxy", "--config", str(shop.file))
    assert said.code == 1
    assert "hint: --output haproxy.cfg" in said.err
    said = cli(
        "export", "haproxy", "--config", str(shop.file), "--output", str(target),
        "--listen", "[::1]:8080", "--webhooks", "/in",
    )  # fmt: skip
    assert said.code == 0
    text, lua = target.read_text(), (shop.home / "mainstay.lua").read_text()
    assert f"lua-load-per-thread {shop.home}/mainstay.lua" in text
    assert ("bind ::1:8080" in text, "path_beg /in/" in text) == (True, True)
    assert 'local ASK = "http://127.0.0.1:8423/decide/haproxy"' in lua
    assert sorted(path.name for path in shop.home.iterdir() if path.name.startswith(".")) == []
    data = cli("export", "haproxy", "--config", str(shop.file), "--json").data
    assert (list(data["files"]), data["written"]) == (["haproxy.cfg", "mainstay.lua"], [])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["apache"], "invalid choice"),
        (["nginx", "--listen", "everywhere"], "no address to listen on"),
        (["nginx", "--webhooks", "hooks; }"], "no beginning of a path"),
        (["nginx", "--output", "/nonexistent/x.conf"], "no such file"),
    ],
)
def test_what_is_wrong_is_said(shop: Company, cli: Cli, arguments: list[str], what: str) -> None:
    said = cli("export", *arguments, "--config", str(shop.file))
    assert said.code in (1, 2)
    assert what in said.err


def test_without_decide_there_is_nobody_to_ask(shop: Company, cli: Cli) -> None:
    shop.write(TEXT.replace("  decide: {}\n", ""))
    said = cli("export", "caddy", "--config", str(shop.file))
    assert said.code == 2
    assert "hint: add `decide: {}` under `gateway:`" in said.err
