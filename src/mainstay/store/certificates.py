"""How each certificate stands: one row each, which its job rewrites at every look."""

import json
from dataclasses import asdict, dataclass

from mainstay.store.base import Row, Tx

TOPIC = "certificates"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as it was last seen. Times are seconds since 1970; what is not known is None or empty.

    `served_at` is when every address served it, `served` what was seen last. `ari_*` is what the authority suggested
    for the certificate `ari_serial`, when it said so and when it may be asked again. After `failures` failures in a
    row nothing is ordered before `retry_at`.
    """

    name: str
    names: tuple[str, ...] = ()
    serial: str | None = None
    issuer: str | None = None
    not_before: float | None = None
    not_after: float | None = None
    installed_at: float | None = None
    served_at: float | None = None
    served: str = ""
    due_at: float | None = None
    due_why: str = ""
    ari_start: float | None = None
    ari_end: float | None = None
    ari_why: str = ""
    ari_serial: str | None = None
    ari_at: float | None = None
    ari_next: float | None = None
    failures: int = 0
    retry_at: float | None = None
    fault: str = ""
    looked_at: float = 0.0


def get(tx: Tx, name: str) -> Certificate:
    """Give a certificate by its name; one that was never seen is as good as empty."""
    row = tx.one("certificates.get", name=name)
    return Certificate(name) if row is None else _made(row)


def everything(tx: Tx) -> list[Certificate]:
    """Give every certificate that was ever seen, the one that ends first first."""
    return [_made(row) for row in tx.all("certificates.all")]


def put(tx: Tx, certificate: Certificate) -> None:
    """Keep how a certificate stands."""
    tx.run("certificates.put", **{**asdict(certificate), "names": json.dumps(certificate.names)})
    tx.signal(TOPIC)


def _made(row: Row) -> Certificate:
    return Certificate(**{**row, "names": tuple(json.loads(row["names"]))})
