"""Is a TLS certificate right, and for how long still?"""

import asyncio
import re
import ssl
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from mainstay.checks import tls
from mainstay.checks.dial import Trail, dial
from mainstay.checks.faults import bounded, split_address
from mainstay.core.check import Answer, Check, Place
from mainstay.core.units import Duration, format_duration

DAY = 86400.0
WARN = 14 * DAY
FAIL = 7 * DAY


def _address(text: str) -> str:
    """Complete an address by the port of HTTPS, which nearly every certificate is for."""
    whole = text if re.search(r"\]:|^[^\[].*:", text) else f"{text}:443"
    try:
        split_address(whole)
    except ValueError:
        raise ValueError(f"{text!r} is not an address; write it like example.com:443") from None
    return whole


class CertificateCheck(Check, type="certificate", shorthand="address"):
    """Makes a TLS connection and judges the certificate: chain, name and days left.

    Facts: `not_before` and `not_after` (seconds since 1970), `days_left`, `issuer`, `serial` (hexadecimal), `names`.
    """

    cured_by_restart = False

    every: Duration = 3600.0
    """How often it is asked."""
    address: Annotated[str, AfterValidator(_address)] = Field(examples=["example.com:443"])
    """Where to connect: `host:port`; port 443 when left out."""
    server_name: str | None = None
    """The name to ask for and to expect in the certificate; the host of `address` when left out."""
    warn: Duration | None = None
    """Warn when less time is left; 14 days when left out, or a quarter of the lifetime if that is shorter."""
    fail: Duration | None = None
    """Fail when less time is left; 7 days when left out, or an eighth of the lifetime if that is shorter."""
    ca: Path | None = Field(default=None, strict=False)
    """PEM file of the authorities to trust instead of the system's."""

    def host(self) -> str | None:
        return split_address(self.address)[0]

    def target(self) -> str:
        return self.address if self.server_name is None else f"{self.server_name} at {self.address}"

    async def probe(self, place: Place) -> Answer:
        trail = Trail(self.address)
        return await bounded(self._ask(place, trail), self.timeout, trail)

    async def _ask(self, place: Place, trail: Trail) -> Answer:
        name = self.server_name or split_address(self.address)[0]
        try:
            facts = await self._fetch(place, trail, tls.context(ca=self.ca))
        except ssl.SSLCertVerificationError as fault:
            facts = await self._fetch(place, trail, tls.context(verify=False))
            return _merge(tls.explain(fault, name, facts["not_after"]), facts)
        facts["days_left"] = round((facts["not_after"] - place.now()) / DAY, 2)
        return self._judge(name, facts, facts["not_after"] - place.now())

    async def _fetch(self, place: Place, trail: Trail, context: ssl.SSLContext) -> dict[str, Any]:
        host, port = split_address(self.address)
        transport, _ = await dial(
            place, host, port, asyncio.Protocol, trail, tls=context, server_name=self.server_name
        )
        try:
            certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            transport.abort()
        return _facts(certificate)

    def _judge(self, name: str, facts: dict[str, Any], left: float) -> Answer:
        lifetime = facts["not_after"] - facts["not_before"]
        fail = min(FAIL, lifetime / 8) if self.fail is None else self.fail
        warn = min(WARN, lifetime / 4) if self.warn is None else self.warn
        said = f"the certificate of {name} is valid for {format_duration(left)}, until {tls.day(facts['not_after'])}"
        if left < fail:
            return Answer.fail(f"{said}: less than {format_duration(fail)}", cause="certificate", **facts)
        if left < warn:
            return Answer.warn(f"{said}: less than {format_duration(warn)}", **facts)
        return Answer.ok(said, **facts)


def _merge(answer: Answer, facts: dict[str, Any]) -> Answer:
    return Answer(answer.verdict, answer.detail, answer.facts | facts)


def _facts(der: bytes) -> dict[str, Any]:
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = [str(name) for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        known = []
    return {
        "not_before": _seconds(certificate.not_valid_before_utc),
        "not_after": _seconds(certificate.not_valid_after_utc),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "names": known[:20],
    }


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
