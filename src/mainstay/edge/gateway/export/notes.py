"""What a proxy cannot do of what the configuration asks for. It is said aloud, never left out in silence."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mainstay.edge.gateway.export.site import Site, covers

OURS = frozenset(
    {
        "webhooks", "gateway", "decide", "processes", "drain_timeout", "access_log", "access_log_size",
        "trusted_proxies", "tls", "max_body",
    }
)  # fmt: skip
"""Options of `edge:` that are about this program's own processes, or that every template expresses."""


@dataclass(frozen=True)
class Able:
    """Which options a kind of proxy can express."""

    title: str
    edge: Collection[str]
    carry: Collection[str]
    health: Collection[str]
    """Those of `health`; nothing when it asks no questions of its own."""
    own_host_of_each: bool
    """Whether each of several origins can be given its own `Host`."""
    always: tuple[str, ...] = ()
    """What is so whatever the configuration says."""


def notes(site: Site, able: Able) -> Iterator[str]:
    """Give a sentence for each thing that is not as the configuration says."""
    for name in sorted(site.edge.model_fields_set - OURS - set(able.edge)):
        yield f"edge.{name}: {able.title} has nothing like it."
    yield from able.always
    if able.title == "HAProxy" and site.key not in (None, site.certificate, site.key_beside):
        yield f"edge.tls.key: HAProxy looks for it in one place only: ln -s {site.key} {site.key_beside}"
    gateway = site.gateway
    if gateway is None:
        return
    if gateway.auth.certificates is not None and able.title != "Envoy":
        yield "gateway.auth.certificates: a question cannot hold a client's certificate; such clients get 401."
    if gateway.decide is not None and site.asked.loopback and not covers(gateway.decide.peers, "127.0.0.1"):
        yield "gateway.decide.peers: 127.0.0.1 is not among them, so that a proxy on this machine may not ask."
    if able.title == "Caddy" and site.fronts and not covers(site.edge.trusted_proxies, site.asked.host):
        yield "edge.trusted_proxies: add the address that Caddy asks from, since it names all proxies on the way."
    for way in site.ways:
        yield from _of_way(way.labels[0], way.route.model_dump(exclude_unset=True), able)
        each = able.own_host_of_each and (able.title != "HAProxy" or way.named_by_host)
        if way.route.host == "origin" and len(way.servers) > 1 and not each:
            yield f"route {way.labels[0]}: host: {able.title} gives all origins the Host of the first one."


def _of_way(label: str, said: dict[str, dict[str, object]], able: Able) -> Iterator[str]:
    for name in sorted(set(said.get("carry", {})) - set(able.carry)):
        yield f"route {label}: carry.{name}: {able.title} has nothing like it."
    health = said.get("health")
    if health is None:
        return
    if not able.health:
        yield f"route {label}: health: {able.title} asks no questions of its own; origins are judged by their answers."
        return
    if able.title == "Caddy":
        yield f"route {label}: health: Caddy takes only answers from 200 to 299 for good, not those up to 399."
    for name in sorted(set(health) - set(able.health)):
        yield f"route {label}: health.{name}: {able.title} has nothing like it."
