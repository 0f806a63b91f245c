"""Writes the configuration of one kind of proxy."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.export.notes import Able, notes
from mainstay.edge.gateway.export.replies import local_reply_config
from mainstay.edge.gateway.export.site import Exported, Site

KINDS: Mapping[str, Able] = {
    "nginx": Able(
        "nginx",
        edge={"head_timeout", "body_timeout", "idle_timeout", "max_head", "max_uri", "max_upload"},
        carry={"connect", "answer", "idle", "connections", "keep", "keep_for", "eject_after", "ca"},
        health=(),
        own_host_of_each=False,
        always=(
            "Refusals come with nginx's own text instead of the gateway's JSON; status and headers are the gateway's.",
            "A WebSocket may be silent for as long as an answer (carry.answer), not for carry.tunnel_idle.",
        ),
    ),
    "caddy": Able(
        "Caddy",
        edge={"head_timeout", "body_timeout", "idle_timeout", "max_head", "max_upload"},
        carry={"connect", "answer", "connections", "keep", "keep_for", "eject_after", "ca"},
        health={"path", "every", "timeout", "host"},
        own_host_of_each=True,
        always=("A body that is longer than edge.max_upload and does not say so before may be answered 502.",),
    ),
    "envoy": Able(
        "Envoy",
        edge={
            "head_timeout", "body_timeout", "idle_timeout", "max_head", "max_headers", "max_upload",
            "max_connections",
        },
        carry={"connect", "answer", "idle", "tunnel_idle", "connections", "keep_for", "eject_after", "ca"},
        health={"path", "every", "timeout", "fails", "host"},
        own_host_of_each=True,
        always=(
            "Envoy says `gateway_down` for whatever the gateway answers with 503.",
            "edge.max_upload is held against Content-Length only; a body without one may be longer.",
            "The longest carry.tunnel_idle holds for all WebSockets, and instead of edge.body_timeout for bodies, too.",
        ),
    ),
    "haproxy": Able(
        "HAProxy",
        edge={
            "head_timeout", "body_timeout", "idle_timeout", "max_head", "max_headers", "max_upload",
            "max_connections",
        },
        carry={"connect", "answer", "tunnel_idle", "connections", "keep", "keep_for", "ca"},
        health={"path", "every", "timeout", "fails", "host"},
        own_host_of_each=True,
        always=(
            "While the gateway does not answer, HAProxy 2.6 tries for three seconds before it says 503.",
            "edge.max_upload is held against Content-Length only; a body without one may be longer.",
        ),
    ),
}  # fmt: skip
"""The kinds of proxies, and what each can do."""

FILES = {
    "nginx": {"mainstay.conf": "nginx.conf.j2"},
    "caddy": {"Caddyfile": "Caddyfile.j2"},
    "envoy": {"envoy.yaml": "envoy.yaml.j2"},
    "haproxy": {"haproxy.cfg": "haproxy.cfg.j2", "mainstay.lua": "mainstay.lua.j2"},
}
"""The files of each kind, and their templates."""

BACK = (
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit", "X-Request-ID",
)  # fmt: skip
"""What the gateway tells clients with an answer of the origin, in place of the origin's own word."""
CORS = (
    "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers",
    "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age",
)  # fmt: skip
"""What it tells browsers."""
IDENTITY = ("X-User-ID", "X-User-Plan", "X-Request-ID", "X-Mainstay-Signature")
"""What it tells origins."""
FORGED = (
    "Forwarded", "X-Real-IP", "X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Original-Host",
    "X-Rewrite-URL", "HTTP2-Settings", "X-Request-ID", "X-Mainstay-Signature",
)  # fmt: skip
"""What clients must not say to origins, besides names that begin with X-User-, X-Forwarded- and X-Gate-."""


def export(kind: str, site: Site, beside: str = "/etc/haproxy") -> Exported:
    """Write the configuration of one of `KINDS`; `beside` is the directory in which its files will be.

    Raises `ConfigError` for what the proxy could only do wrongly.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    others = [way.labels[0] for way in site.ways if way.route.protocol != "http1"]
    if others and kind != "envoy":
        raise ConfigError(
            f"the origins of the route {others[0]} speak HTTP/2",
            hint="what is exported for Envoy can say so: mainstay export envoy",
        )
    said = list(dict.fromkeys(notes(site, KINDS[kind])))
    world = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # configurations, no pages; what is put in has a grammar of its own
    )  # nosec B701
    world.filters |= {"ms": _ms, "seconds": _seconds, "kind": lambda way: _kind(way.labels)}
    given: dict[str, Any] = {
        "site": site, "notes": _comment(said), "back": BACK, "cors": CORS, "identity": IDENTITY,
        "forged": FORGED, "beside": beside, "shown": site.shown, "replies": local_reply_config(),
        "var": lambda name: "gate_" + name.lower().replace("-", "_"),
    }  # fmt: skip
    files = {name: world.get_template(file).render(given) for name, file in FILES[kind].items()}
    return Exported(files, said)


def _comment(said: list[str]) -> str:
    lines = ["What this proxy does otherwise than the gateway itself would:"] if said else []
    for sentence in said:
        lines += textwrap.wrap(
            sentence,
            100,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(f"# {line}" for line in lines) + ("\n" if lines else "")


def _ms(span: float) -> str:
    return f"{max(1, round(span * 1000))}ms"


def _seconds(span: float) -> str:
    return f"{span:.3f}s"


def _kind(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:5])
    return shown + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
