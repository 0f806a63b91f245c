"""What Envoy is to do: the exported configuration, taken apart into the resources that it watches."""

import io
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainstay.edge.gateway.export import Site, export
from mainstay.edge.gateway.export.site import Way

Resource = dict[str, Any]
KINDS = {
    "clusters": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "runtime": "type.googleapis.com/envoy.service.runtime.v3.Runtime",
    "certificate": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    "authority": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    "routes": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "listeners": "type.googleapis.com/envoy.config.listener.v3.Listener",
}
"""The files, in the order in which they are written: what others need comes first."""
NAME = "mainstay"
"""What listener and routes are called."""
WATCHED = "certificates"
"""The directory in which a file is moved when certificates have changed."""
LIMIT = f"envoy.resource_limits.listener.{NAME}.connection_limit"
LOG_FORMAT = {
    "time": "%START_TIME%", "listener": "gateway", "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%", "host": "%REQ(:AUTHORITY)%", "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "protocol": "%PROTOCOL%", "status": "%RESPONSE_CODE%",
    "in": "%BYTES_RECEIVED%", "out": "%BYTES_SENT%", "ms": "%DURATION%",
    "request": "%REQ(X-REQUEST-ID)%", "route": "%ROUTE_NAME%", "user": "%REQ(X-USER-ID)%", "plan": "%REQ(X-USER-PLAN)%",
    "origin": "%UPSTREAM_HOST%", "why": "%RESPONSE_CODE_DETAILS%",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Resources by file, and those of each way on which requests are carried on."""

    fixed: Mapping[str, list[Resource]] = field(default_factory=dict)
    """All but the ways' own; `routes` has the route configuration, with what stands behind all ways."""
    ways: Mapping[str, tuple[Resource, Resource]] = field(default_factory=dict)
    """By mark: route and cluster."""
    shown: tuple[Way, ...] = ()
    """The same ways, for people."""

    def resources(self, past: Iterable["Plan"] = ()) -> dict[str, list[Resource]]:
        """Give everything by file.

        Ways of the `past` go on to be known, for requests that were decided before. Nobody asks their origins any more
        how they are.
        """
        ways = dict(self.ways)
        for plan in past:
            for mark, (route, cluster) in plan.ways.items():
                still = {name: value for name, value in cluster.items() if name != "health_checks"}
                ways.setdefault(mark, (route, still))
        found = {kind: list(self.fixed.get(kind, [])) for kind in KINDS}
        found["clusters"] += [cluster for _, cluster in ways.values()]
        found["routes"] = [_with(each, [route for route, _ in ways.values()]) for each in found["routes"]]
        return {kind: [{"@type": KINDS[kind], **each} for each in found[kind]] for kind in KINDS}


def _with(config: Resource, routes: list[Resource]) -> Resource:
    (host,) = config["virtual_hosts"]
    return {**config, "virtual_hosts": [{**host, "routes": [*routes, *host["routes"]]}]}


def plan_of(site: Site, directory: Path, log: Path | None) -> Plan:
    """Make the plan; the files will be in `directory`. Raises `ConfigError`."""
    from ruamel.yaml import YAML

    whole = YAML(typ="safe").load(io.StringIO(export("envoy", site).files["envoy.yaml"]))
    (listener,), clusters = whole["static_resources"]["listeners"], whole["static_resources"]["clusters"]
    carried = {cluster["name"]: cluster for cluster in clusters}
    chain = listener["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    config = manager.pop("route_config")
    (host,) = config["virtual_hosts"]
    *routes, behind = host["routes"]
    manager["rds"] = {"route_config_name": NAME, "config_source": source(directory, "routes")}
    if log is not None:
        manager["access_log"] = [_log(log)]
    _listen_everywhere(site, listener)
    ways = {
        way.mark: (route, carried.pop(f"mainstay_{way.mark}"))
        for way, route in zip(site.ways, routes, strict=True)
    }
    limit = {"name": "limits", "layer": {LIMIT: site.edge.max_connections * site.edge.processes}}
    fixed = {
        "listeners": [listener],
        "clusters": list(carried.values()),
        "routes": [{**config, "virtual_hosts": [{**host, "routes": [behind]}]}],
        "runtime": [limit],
        **_secrets(chain, directory),
    }
    return Plan(fixed, ways, site.ways)


NOTHING = Plan({"runtime": [{"name": "limits", "layer": {}}]})
"""There is no gateway any more."""


def _secrets(chain: Resource, directory: Path) -> dict[str, list[Resource]]:
    """Have certificates read anew when a file is moved in a directory of ours: nobody need know how theirs change."""
    if "transport_socket" not in chain:
        return {}
    common = chain["transport_socket"]["typed_config"]["common_tls_context"]
    watched = {"watched_directory": {"path": str(directory / WATCHED)}}
    (pair,) = common.pop("tls_certificates")
    found: dict[str, list[Resource]] = {
        "certificate": [{"name": "certificate", "tls_certificate": {**pair, **watched}}]
    }
    wanted = {"name": "certificate", "sds_config": source(directory, "certificate")}
    common["tls_certificate_sds_secret_configs"] = [wanted]
    if "validation_context" in common:
        context = {**common.pop("validation_context"), **watched}
        found["authority"] = [{"name": "authority", "validation_context": context}]
        wanted = {"name": "authority", "sds_config": source(directory, "authority")}
        common["validation_context_sds_secret_config"] = wanted
    return found


def _listen_everywhere(site: Site, listener: Resource) -> None:
    """Listen in both families where no host is said, as the edge itself does."""
    if not site.place[0] and socket.has_dualstack_ipv6():
        listener["address"]["socket_address"] |= {"address": "::", "ipv4_compat": True}


def _log(path: Path) -> Resource:
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {
                "json_format": LOG_FORMAT,
                "omit_empty_values": True,
                "json_format_options": {"sort_properties": False},
            },
        },
    }


def source(directory: Path, kind: str) -> Resource:
    """Say where Envoy finds a kind of resources."""
    return {"path_config_source": {"path": str(directory / f"{kind}.json")}, "resource_api_version": "V3"}


def bootstrap(directory: Path) -> Resource:
    """Give what Envoy starts with: where everything else is, and at which socket it is asked."""
    return {
        "node": {"id": NAME, "cluster": NAME},
        "admin": {"address": {"pipe": {"path": str(directory / "admin.sock"), "mode": 0o600}}},
        "dynamic_resources": {
            "lds_config": source(directory, "listeners"),
            "cds_config": source(directory, "clusters"),
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "limits",
                    "rtds_layer": {"name": "limits", "rtds_config": source(directory, "runtime")},
                }
            ]
        },
    }
