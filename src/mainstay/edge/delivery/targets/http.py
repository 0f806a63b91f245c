"""A program that takes HTTP requests: the sender's own bytes, signed as in Standard Webhooks."""

import fnmatch
import io
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from mainstay.core.check import ResolveError
from mainstay.core.errors import MainstayError
from mainstay.core.headers import check_headers
from mainstay.core.secret import Secret, SecretUrl, redact
from mainstay.core.standard_webhooks import key_of, signature, signed
from mainstay.core.units import Duration, format_duration
from mainstay.edge.delivery.parcel import End, Outcome, Parcel
from mainstay.edge.delivery.targets.base import Deliver, Resolve, Target, Tools, clip, iso
from mainstay.ports.answers import reason, retry_after

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import ResolveResult
    from multidict import CIMultiDict

MOST_BYTES = 4096
"""How much of an answer is read."""
LARGE = 256 * 1024
"""Bytes of a body that are sent in one piece."""
ALWAYS = ("content-type", "content-encoding")
"""Without these the body cannot be understood."""
OURS = frozenset(
    {
        "connection", "content-length", "date", "expect", "host", "idempotency-key", "keep-alive", "te", "trailer",
        "transfer-encoding", "upgrade", "user-agent", "via", "forwarded", "x-real-ip", "webhook-attempt",
    }
)  # fmt: skip
"""What belongs to one connection, or is said anew by us."""
PRIVATE = ("authorization", "cookie", "proxy-*", "x-forwarded-*", "mainstay-*")
"""What a sender says to us, or might say in our name, is not handed on."""
BUSY = (429, 503)


def _address(url: SecretUrl) -> SecretUrl:
    if url.resolved and urlsplit(url.reveal()).scheme not in ("http", "https"):
        raise ValueError("a target's address begins with http:// or https://")
    return url


class HttpTarget(Target, type="http", shorthand="url"):
    """Posts the body exactly as it was received, with the sender's headers and some of mainstay's own.

    `Idempotency-Key` and `webhook-id` are the same for every attempt of an event: a target that has seen it need not
    act again. 2xx is taken. 429 and 503 are tried again when their Retry-After says; 410 is never tried again, unless
    `never` says otherwise; everything else, redirects too, is tried again on the schedule of `retry`.

    The address stands in this file and is never taken from an event, so no sender can choose whom mainstay talks to;
    redirects are not followed and proxies of the environment not used.
    """

    url: Annotated[SecretUrl, AfterValidator(_address)]
    """Where to post to."""
    secret: Secret | None = None
    """Signs what is posted (Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature): `whsec_` and base64,
    or any other text. When left out, the sender's own signature is handed on and nothing is signed."""
    headers: Annotated[dict[str, str | Secret], AfterValidator(check_headers)] = {}
    """Further headers, such as a bearer token."""
    forward: list[str] = ["*"]
    """Which of the sender's headers are handed on, `*` stands for any text: `[x-github-*]`. Content-Type always is;
    what belongs to the connection, Authorization, Cookie and X-Forwarded-* never are."""
    connect_timeout: Duration = 5.0
    """How long connecting may take; `timeout` is for the whole attempt."""
    never: list[int] = [410]
    """Statuses with which the target says that it will never take this event: it becomes a dead letter at once."""
    verify: bool = True
    """Whether the target's certificate must be right. With `false` anyone may answer in its name."""
    ca: Path | None = Field(default=None, strict=False)
    """PEM file of the authorities to trust instead of the system's."""

    def place(self) -> str:
        if not self.url.resolved or not self.url.inline:
            return "http (a secret address)"
        return redact(self.url.reveal().partition("?")[0])

    @asynccontextmanager
    async def opened(self, tools: Tools, many: int) -> AsyncIterator[Deliver]:
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=0, ssl=self._tls(), resolver=names(tools.resolve), keepalive_timeout=15, ttl_dns_cache=30
        )
        limit = aiohttp.ClientTimeout(
            total=self.timeout, sock_connect=min(self.connect_timeout, self.timeout)
        )
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=limit,
            trust_env=False,
            skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            poster = _Poster(self, session, tools)
            yield poster.deliver

    def _tls(self) -> "ssl.SSLContext | bool":
        if not self.verify:
            return False
        if self.ca is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self.ca))
        except (OSError, ssl.SSLError) as fault:
            words = getattr(fault, "strerror", None) or fault
            raise MainstayError(
                f"cannot read the authorities in {self.ca}: {words}", hint="ca is a PEM file"
            ) from None


class _Poster:
    """Posts to one target, on connections that are kept."""

    def __init__(self, target: HttpTarget, session: "aiohttp.ClientSession", tools: Tools) -> None:
        self._target = target
        self._session = session
        self._clock = tools.clock
        self._url = target.url.reveal()
        self._key = raw_key(target.secret.reveal()) if target.secret else None
        self._extra = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in target.headers.items()
        }

    async def deliver(self, parcel: Parcel) -> Outcome:
        import aiohttp

        now = self._clock.now()
        headers = self._headers(parcel, now)
        try:
            async with self._session.post(
                self._url, data=_data(parcel.body), headers=headers, allow_redirects=False
            ) as answer:
                status, wish = answer.status, retry_after(answer.headers.get("Retry-After"), now)
                text = (
                    ""
                    if status == 204
                    else (await answer.content.read(MOST_BYTES)).decode("utf-8", "replace")
                )
        except TimeoutError:
            return _sick(f"no answer within {format_duration(self._target.timeout)}")
        except aiohttp.ClientConnectorCertificateError as fault:  # which is a ValueError too
            why = getattr(fault.certificate_error, "verify_message", "") or "it is not trusted"
            return _sick(f"its certificate does not hold: {why}")
        except (aiohttp.InvalidURL, ValueError):
            return _sick("its address is not a URL; correct the configuration or the secret")
        except (aiohttp.ClientError, OSError) as fault:
            return _sick(f"cannot be reached: {reason(fault)}")
        return self._judge(status, text, wish)

    def _judge(self, status: int, text: str, wish: float | None) -> Outcome:
        said = "" if text.lstrip().startswith("<") else clip(redact(text))
        detail = f"{status} {said}".strip()
        if 200 <= status < 300:
            return Outcome(End.DONE, detail, status)
        if status in self._target.never:
            return Outcome(End.NEVER, detail, status)
        if 300 <= status < 400:
            return Outcome(
                End.LATER, f"{status}, a redirect, which is not followed: write the final address", status
            )
        sick = status >= 500 or status == 429
        return Outcome(End.LATER, detail, status, wish if status in BUSY else None, sick)

    def _headers(self, parcel: Parcel, now: float) -> "CIMultiDict[str]":
        from multidict import CIMultiDict

        headers: CIMultiDict[str] = CIMultiDict(handed_on(parcel, self._target.forward))
        headers.update(ours(parcel))
        if self._key is not None or "webhook-signature" not in headers:
            stamp = str(int(now))
            headers["webhook-id"] = parcel.id
            headers["webhook-timestamp"] = stamp
            if self._key is not None:
                content = signed(parcel.id.encode(), stamp.encode(), parcel.body)
                headers["webhook-signature"] = signature(self._key, content)
        headers.update(self._extra)
        return headers


def _data(body: bytes) -> bytes | io.BytesIO:
    """Large bodies go out piece by piece, so that they do not hold up everybody else."""
    return body if len(body) <= LARGE else io.BytesIO(body)


def handed_on(parcel: Parcel, wanted: list[str]) -> list[tuple[str, str]]:
    """Give those of the sender's headers that the target is to see."""
    return [(name, value) for name, value in parcel.headers if _goes_on(name.lower(), wanted)]


def _goes_on(name: str, wanted: list[str]) -> bool:
    if name in ALWAYS:
        return True
    if name in OURS or any(fnmatch.fnmatchcase(name, each) for each in PRIVATE):
        return False
    return any(fnmatch.fnmatchcase(name, each.lower()) for each in wanted)


def ours(parcel: Parcel) -> Mapping[str, str]:
    """Give the headers in which mainstay says what this is."""
    said = {
        "User-Agent": "mainstay",
        "Idempotency-Key": parcel.id,
        "Mainstay-Source": parcel.source,
        "Mainstay-Received-At": iso(parcel.received_at),
        "Mainstay-Attempt": str(parcel.attempt),
    }
    if parcel.replay_of:
        said["Mainstay-Replay-Of"] = parcel.replay_of
    return said


def raw_key(secret: str) -> bytes:
    """Give the bytes that a secret stands for. Raises `MainstayError` when `whsec_` is not followed by base64."""
    try:
        return key_of(secret)
    except ValueError:
        raise MainstayError(
            "the target's secret begins with whsec_ but is not base64",
            hint="copy it whole, or leave whsec_ out",
        ) from None


def _sick(detail: str) -> Outcome:
    return Outcome(End.LATER, redact(detail), sick=True)


def names(resolve: Resolve) -> Any:
    """Give aiohttp our own names: a name server that hangs must not take the threads of everybody else."""
    from aiohttp.abc import AbstractResolver

    class Names(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> "list[ResolveResult]":
            try:
                addresses = await resolve(host)
            except ResolveError as fault:
                raise OSError(None, str(fault)) from None
            return [_entry(host, each, port) for each in addresses]

        async def close(self) -> None:
            """There is nothing to close."""

    return Names()


def _entry(host: str, address: str, port: int) -> "ResolveResult":
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {
        "hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": socket.AI_NUMERICHOST
    }  # fmt: skip
