"""What is exported for other proxies, looked at by their own checkers, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.export import KINDS, Site, export
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.http.settings import EdgeSettings
from tests.edge.gateway.fronts import checked
from tests.servers.authority import Authority

RICH = {
    "routes": [
        {"path": "/", "origin": "http://127.0.0.1:8000"},
        {"path": "/same", "origin": "http://127.0.0.1:8000", "auth": "none"},
        {
            "path": "/api", "origin": ["http://127.0.0.1:8001", "http://[::1]:8002"], "rewrite": "/", "host": "origin",
            "health": {"path": "/it's?ok=1", "every": "3s", "timeout": "1s", "fails": 3, "host": "in.example.com"},
            "carry": {"connect": "1s", "answer": "20s", "idle": "90s", "keep": 0, "eject_after": 5, "tunnels": 3},
        },
        {"path": "/far", "origin": ["https://localhost:8443"], "cors": {"origins": ["*"]}},
        {"path": "/near", "origin": ["https://127.0.0.1:8443"], "host": "near.example.com"},
    ],
    "decide": {}, "auth": {"keys": {}, "certificates": {}, "forward": False},
}  # fmt: skip


def rich(directory: Path, **edge: Any) -> Site:
    certificate, key = Authority(directory).issue("localhost")
    settings = EdgeSettings.model_validate(
        {
            "tls": {"certificate": str(certificate), "key": str(key), "client_ca": str(directory / "ca.pem")},
            "trusted_proxies": ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"],
            "pipeline": 4,
            **edge,
        }
    )
    return Site(settings, GatewaySettings.model_validate(RICH), True, "[::1]:8443", "/in/hooks/")


@pytest.mark.parametrize("kind", KINDS)
def test_everything_at_once_is_fine_with_its_checker(kind: str, tmp_path: Path) -> None:
    site = rich(tmp_path)
    Path(site.key_beside).symlink_to(str(site.key))
    made = checked(kind, site, tmp_path)
    for said in ("edge.pipeline", "gateway.auth.certificates", "route /api: carry.tunnels"):
        known = kind == "envoy" and "certificates" in said  # which it shows to the gateway
        assert any(note.startswith(said) for note in made.notes) != known, said
    text = next(iter(made.files.values()))
    heading = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    for note in made.notes:
        assert note in heading.replace("- ", ""), note
    assert text.count("http://127.0.0.1:8000") + text.count("127.0.0.1:8000") <= 2  # alike routes are one way
    hooks = Site(EdgeSettings(), None, True, "127.0.0.1:8080", "/hooks/")
    checked(kind, hooks, tmp_path)


def test_questions_on_this_machine_are_plain(tmp_path: Path) -> None:
    asked = {
        where: rich(tmp_path, decide=where).asked for where in ("127.0.0.1:1", "[::1]:1", ":1", "10.0.0.7:1")
    }
    assert [server.tls for server in asked.values()] == [False, False, True, True]
    assert asked[":1"].address == "127.0.0.1:1"


def test_what_can_be_said_depends_on_the_proxy(tmp_path: Path) -> None:
    site = rich(tmp_path)
    said = {kind: " ".join(export(kind, site).notes) for kind in KINDS}
    assert "route /api: health: nginx asks no questions" in said["nginx"]
    assert "route /api: host: nginx" in said["nginx"]
    assert "health.fails: Caddy" in said["caddy"]
    assert "route /api: health: Caddy takes only answers from 200 to 299" in said["caddy"]
    assert f"ln -s {site.key} {site.certificate}.key" in said["haproxy"]
    assert "health" not in said["envoy"] + said["haproxy"]
    assert "route /api: host: HAProxy" in said["haproxy"]  # only because of the IPv6 address
    assert "host" not in said["envoy"] + said["caddy"].replace("health.", "")


@pytest.mark.parametrize(
    ("gateway", "edge", "what"),
    [
        ({"routes": [{"origin": "http://a"}]}, {}, "does not let other proxies ask"),
        ({"routes": [{}], "decide": {}}, {}, "does not say where its requests go"),
        ({"routes": [{"origin": ["http://a", "https://b"]}], "decide": {}}, {}, "with and without TLS"),
        ({"routes": [{"origin": "http://a", "protocol": "http2"}], "decide": {}}, {}, r"speak HTTP/2"),
        (
            {"routes": [{"origin": "http://a"}], "decide": {}},
            {"decide": ":0"},
            r"edge\.decide is a free port",
        ),
        (
            {"routes": [{"origin": "http://a"}], "decide": {}},
            {"tls": {"certificate": "/a;b", "key": "/k"}},
            "characters that other proxies read as something else",
        ),
        (None, {}, "neither webhooks nor a gateway"),
    ],
)
def test_what_cannot_be_written_is_refused(gateway: Any, edge: dict[str, Any], what: str) -> None:
    settings = None if gateway is None else GatewaySettings.model_validate(gateway)
    with pytest.raises(ConfigError, match=what):
        export("nginx", Site(EdgeSettings.model_validate(edge), settings, False, ":80", "/hooks/"))
