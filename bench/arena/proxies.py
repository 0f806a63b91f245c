"""The configurations of the proxies; `<name>` stands for a value."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

HEAD = """
daemon off;
<user>
worker_processes 1;
pid <base>/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
"""
PATHS = """
  client_body_temp_path <base>/body;
  proxy_temp_path <base>/proxy;
  fastcgi_temp_path <base>/fastcgi;
  uwsgi_temp_path <base>/uwsgi;
  scgi_temp_path <base>/scgi;
"""
ORIGIN = f"""{HEAD}
http {{ {PATHS}
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:<port> backlog=4096;
    root <base>;
    location /1k/ {{ try_files /1k =404; }}
  }}
}}
"""
NGINX = f"""{HEAD}
http {{ {PATHS}
  access_log <log>;
  keepalive_requests 1000000000;
  upstream origin {{ server 127.0.0.1:<origin>; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:<port> backlog=4096;
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
CADDYFILE = """
{
  admin off
  auto_https off
}
http://127.0.0.1:<port> {
  bind 127.0.0.1
  forward_auth 127.0.0.1:<edge> {
    uri /decide/caddy
    copy_headers X-User-ID X-User-Plan X-Request-ID
  }
  reverse_proxy 127.0.0.1:<origin>
}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend gate
  bind 127.0.0.1:<port>
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
  http-request set-var(txn.plan) var(txn.bearer),jwt_payload_query('$.plan')
  http-request deny status 401 unless { var(txn.alg) -m str HS256 }
  http-request deny status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"<secret>") -m int 1 }
  http-request track-sc0 var(txn.sub) table users
  http-request deny status 429 if { sc_http_req_rate(0,users) gt 900000000 }
  http-request set-header X-User-ID %[var(txn.sub)]
  http-request set-header X-User-Plan %[var(txn.plan)]
  default_backend origin
backend users
  stick-table type string len 64 size 100k expire 2m store http_req_rate(1m)
backend origin
  server origin 127.0.0.1:<origin>
"""
TYPE = "type.googleapis.com/envoy.extensions."


def envoy(port: int, origin: int, secret: str, log: str | None) -> dict[str, Any]:
    """Envoy's configuration: JWT with its cache, a bucket of tokens for each user, identity headers."""
    kind = f"{TYPE}access_loggers.file.v3.FileAccessLog"
    manager = {
        "@type": f"{TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gate",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route()]}]},
        "http_filters": [_jwt(secret), _limit(), _router()],
        "access_log": [{"name": "log", "typed_config": {"@type": kind, "path": log}}] if log else [],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {"name": "gate", "address": _address(port), "filter_chains": [chain]}
    endpoint = {"endpoint": {"address": _address(origin)}}
    cluster = {
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _route() -> dict[str, Any]:
    by_user = {"request_headers": {"header_name": "x-user-id", "descriptor_key": "user"}}
    return {
        "match": {"prefix": "/"},
        "route": {"cluster": "origin", "rate_limits": [{"actions": [by_user]}]},
    }


def _jwt(secret: str) -> dict[str, Any]:
    key = urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()
    provider = {
        "issuer": "bench",
        "local_jwks": {"inline_string": f'{{"keys": [{{"kty": "oct", "alg": "HS256", "k": "{key}"}}]}}'},
        "forward": True,
        "claim_to_headers": [
            {"header_name": "x-user-id", "claim_name": "sub"},
            {"header_name": "x-user-plan", "claim_name": "plan"},
        ],
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}]
    kind = f"{TYPE}filters.http.jwt_authn.v3.JwtAuthentication"
    return {
        "name": "jwt",
        "typed_config": {"@type": kind, "providers": {"bench": provider}, "rules": rules},
    }


def _limit() -> dict[str, Any]:
    bucket = {"max_tokens": 900_000_000, "tokens_per_fill": 900_000_000, "fill_interval": "60s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    settings = {
        "@type": f"{TYPE}filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": bucket,
        "filter_enabled": always,
        "filter_enforced": always,
        "descriptors": [{"entries": [{"key": "user"}], "token_bucket": bucket}],
        "max_dynamic_descriptors": 1000,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
    }
    return {"name": "limit", "typed_config": settings}


def _router() -> dict[str, Any]:
    return {"name": "router", "typed_config": {"@type": f"{TYPE}filters.http.router.v3.Router"}}
