"""Who stands before an origin: ours with its whole policy, and the proxies that one knows."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from base64 import urlsafe_b64encode
from functools import partial
from pathlib import Path

from bench.arena.proxies import CADDYFILE, HAPROXY, NGINX, ORIGIN, envoy
from bench.arena.ring import Contestant, Maker, Team, cores, found
from tests.servers.process import LOOPBACK, free_port

SECRET = "fedcba9876543210fedcba9876543210"
USERS = 100
SIZES = {"1k": 1024, "100k": 100 * 1024}
LOADS = {
    "1k": ("1k", ""),
    "1k_paths": ("1k", "paths"),
    "1k_traces": ("1k", "traces"),
    "100k": ("100k", ""),
}
"""What is asked for, and what is new in each request."""

OURS = """
name: bench
journal: sqlite:///journal.db
state_dir: {base}/state
edge: {{webhooks: "127.0.0.1:{other}", gateway: "127.0.0.1:{port}", decide: "127.0.0.1:{asked}", access_log: {log}}}
gateway:
  routes: [{{path: /, origin: "http://127.0.0.1:{origin}"}}]
  per_address: 6000000/min
"""
POLICY = """
  plans: {paid: 100000/min}
  auth:
    tokens: [{issuer: bench, keys: [{algorithm: HS256, secret: {secret: gateway_bench}}]}]
"""
DECIDE = """
  decide: {}
"""
NAMES = {
    "nginx": "nginx, proxy_pass, no access log",
    "nginx_logging": "nginx, proxy_pass",
    "haproxy": "HAProxy, JWT and limits, no access log",
    "envoy": "Envoy, JWT and limits, no access log",
    "envoy_logging": "Envoy, JWT and limits",
    "caddy": "Caddy, forward_auth to ours",
}


def origin() -> Team | None:
    """nginx with a small page and a large one, on the core of the load."""
    program = found("nginx")
    if program is None:
        return None
    made = Contestant("origin")
    for name, size in SIZES.items():
        (made.base / name).write_bytes(b"x" * size)
    serve(made, program, ORIGIN, core=cores()[1])
    return Team([made])


def serve(made: Contestant, program: str, text: str, core: str | None = None, **places: object) -> None:
    """Start an nginx."""
    user = "user root;" if os.geteuid() == 0 else ""
    (made.base / "nginx.conf").write_text(fill(text, base=made.base, port=made.port, user=user, **places))
    argv = [program, "-p", str(made.base), "-e", "stderr", "-c", str(made.base / "nginx.conf")]
    made.launch(argv, core=core)


def fill(text: str, **places: object) -> str:
    """Put values where `<name>` stands: these files are full of braces."""
    for name, value in places.items():
        text = text.replace(f"<{name}>", str(value))
    return text


def contestants(origin: int) -> dict[str, Maker]:
    """Everybody, by name; `bare` is ours without a policy and without an access log."""
    return {
        "ours": partial(ours, origin, POLICY),
        "bare": partial(ours, origin, "", log=False),
        "nginx": partial(nginx, origin, "off"),
        "nginx_logging": partial(nginx, origin, "access.log"),
        "haproxy": partial(haproxy, origin),
        "envoy": partial(envoy_native, origin, None),
        "envoy_logging": partial(envoy_native, origin, "access.log"),
        "caddy": partial(caddy, origin),
    }


def ours(origin: int, policy: str, *, log: bool = True, asked: int = 0) -> Team:
    """The edge with tokens, limits, identity, metrics and access log; other proxies ask it at port `asked`."""
    made = Contestant("edge")
    places = {
        "base": made.base, "port": made.port, "other": free_port(), "asked": asked, "origin": origin,
    }  # fmt: skip
    text = OURS.format(**places, log=str(log).lower())
    (made.base / "mainstay.yaml").write_text(text + policy)
    made.python("mainstay", "up", "--only", "edge", env={"MAINSTAY_GATEWAY_BENCH": SECRET})
    return Team([made])


def nginx(origin: int, log: str) -> Team | None:
    """proxy_pass and nothing else."""
    program = found("nginx")
    if program is None:
        return None
    made = Contestant("nginx")
    serve(made, program, NGINX, origin=origin, log=log)
    return Team([made])


def envoy_native(origin: int, log: str | None) -> Team | None:
    """Envoy's own filters: token, limit for each user, identity. One worker."""
    program = found("envoy")
    if program is None:
        return None
    made = Contestant("envoy")
    (made.base / "envoy.json").write_text(json.dumps(envoy(made.port, origin, SECRET, log)))
    made.launch([program, "-c", "envoy.json", "--concurrency", "1", "--disable-hot-restart", "-l", "error"])
    return Team([made])


def caddy(origin: int) -> Team | None:
    """Caddy, which asks our /decide about every request."""
    program = found("caddy")
    if program is None:
        return None
    asked = free_port()
    edge = ours(origin, POLICY + DECIDE, log=False, asked=asked)
    made = Contestant("caddy")
    text = fill(CADDYFILE, port=made.port, origin=origin, edge=asked)
    (made.base / "Caddyfile").write_text(text)
    home = {"HOME": str(made.base), "XDG_DATA_HOME": str(made.base), "GOMAXPROCS": "1"}
    made.launch([program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"], home)
    return Team([made, *edge])


def haproxy(origin: int) -> Team | None:
    """HAProxy's own token check, a limit for each user, identity."""
    program = found("haproxy")
    if program is None:
        return None
    made = Contestant("haproxy")
    (made.base / "haproxy.cfg").write_text(fill(HAPROXY, port=made.port, origin=origin, secret=SECRET))
    made.launch([program, "-db", "-f", "haproxy.cfg"])
    return Team([made])


def tokens() -> list[str]:
    """A token for each user."""
    return [token(f"user-{number}") for number in range(USERS)]


def token(subject: str) -> str:
    claims = {"iss": "bench", "sub": subject, "plan": "paid", "exp": int(time.time()) + 86400}
    content = b".".join(
        base64(json.dumps(each).encode()) for each in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    return (content + b"." + base64(hmac.new(SECRET.encode(), content, hashlib.sha256).digest())).decode()


def base64(text: bytes) -> bytes:
    return urlsafe_b64encode(text).rstrip(b"=")


def requests(path: str, port: int) -> list[bytes]:
    """Requests as `gateway.lua` makes them, one for each user."""
    return [
        (
            f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nAuthorization: Bearer {each}\r\n"
            "Accept: application/json\r\nX-User-ID: root\r\nUser-Agent: bench/1\r\n\r\n"
        ).encode()
        for each in tokens()
    ]


def write_tokens(path: Path) -> None:
    path.write_text("\n".join(tokens()) + "\n")
