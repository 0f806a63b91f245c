"""The page about the JSON API, from its own routes."""

from __future__ import annotations

from mainstay.web.api import endpoints
from tools.reference.spelling import cell

INTRODUCTION = """\
The dashboard answers programs under `/api/v1` in JSON. Log in with the header `Authorization: Bearer TOKEN`, where
TOKEN is the secret that `web.token` names; a browser's login works too, with the token of a page's form in
`X-CSRF-Token` for `POST`.

Times are seconds since 1970, spans are seconds, sizes are bytes. Lists go from the newest back: `limit` says how many
(50 unless told, 500 at most), `before` is the `id` to go on from. An error is `{"error": ..., "hint": ...}` with its
status: 400 what was asked makes no sense, 401 not logged in, 403 refused, 404 not there, 409 not possible now.

New fields may come; those that are there stay.
"""
HEAD = "| request | answer |\n|---|---|"
EXAMPLE = """\
```console
$ curl -s -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8420/api/v1/status
{"name":"example","verdict":"ok","sentence":"All 14 services healthy.",...}
$ curl -s -X POST -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8420/api/v1/jobs/backup:shop/run
{"id":"01m82fesbr000bakvg4540514a","job":"backup:shop","state":"queued"}
```
"""


def page() -> str:
    """Every endpoint with what it gives."""
    rows = [f"| `{method} {path}` | {cell(about)} |" for method, path, about in endpoints()]
    return (
        "\n\n".join(["# JSON API", INTRODUCTION.rstrip(), "\n".join([HEAD, *rows]), EXAMPLE.rstrip()]) + "\n"
    )
