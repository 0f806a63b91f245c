"""Is a page there, right, and fast enough?"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from mainstay.checks import tls
from mainstay.checks.conditions import MISSING, Expected, find, show
from mainstay.checks.dial import Trail
from mainstay.checks.faults import bounded, split_address
from mainstay.checks.wire import Address, BadAnswer, Request, Response, address_of, exchange
from mainstay.core.check import Answer, Check, Place
from mainstay.core.errors import MainstayError
from mainstay.core.headers import check_headers
from mainstay.core.secret import Secret
from mainstay.core.units import Duration, Size, format_duration, format_size

_PRIVATE = {"authorization", "cookie", "proxy-authorization"}
_MOVED = {301, 302, 303, 307, 308}


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError(f"{text!r} is not a URL; write it like https://example.com/health")
    if parts.username or parts.password:
        raise ValueError("keep the login out of the URL: headers: {authorization: {secret: NAME}}")
    return text


def _connect_to(text: str) -> str:
    split_address(text)
    return text


def _statuses(value: Any) -> Any:
    values = value if isinstance(value, (list, tuple)) else [value]
    return tuple(_status_range(each) for each in values)


def _status_range(value: Any) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value
    found = re.fullmatch(r"([1-5]\d\d)(?:-([1-5]\d\d))?|([1-5])xx", str(value).strip().lower())
    if isinstance(value, bool) or found is None:
        raise ValueError(f"{value!r} is not a status; write 200, 200-299 or 2xx")
    if found[3]:
        return int(found[3]) * 100, int(found[3]) * 100 + 99
    low, high = int(found[1]), int(found[2] or found[1])
    if low > high:
        raise ValueError(f"{value!r} runs backwards")
    return low, high


def _texts(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


_ONE_STATUS = {"type": ["string", "integer"], "examples": [200, "200-299", "2xx"]}
Statuses = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_statuses),
    WithJsonSchema({"anyOf": [_ONE_STATUS, {"type": "array", "items": _ONE_STATUS}]}),
]
"""One or several of `200`, `200-299`, `2xx`."""
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""One text, or several."""


class HttpCheck(Check, type="http", shorthand="url"):
    """Asks for a page over HTTP or HTTPS, on a new connection each time, and judges what comes back.

    The answer is whole within `timeout`, or the verdict is fail. Facts: `status`, `size` and the seconds of each phase
    (`dns`, `connect`, `tls`, `first_byte`).
    """

    url: Annotated[str, AfterValidator(_url)] = Field(examples=["https://example.com/health"])
    """Where to ask."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    """How to ask."""
    headers: Annotated[dict[str, str | Secret], AfterValidator(check_headers)] = {}
    """Headers to send, e.g. `{authorization: {secret: api_header}}`. Secret ones, Authorization and Cookie are not
    sent on when a redirect leads to another host."""
    body: str | Secret | None = None
    """Body to send."""
    status: Statuses = ((200, 299),)
    """Good statuses. With `redirects: 0` a redirect is judged by its own status."""
    contains: Texts = ()
    """Text that must be in the body; all of them."""
    absent: Texts = ()
    """Text that must not be in the body; none of them."""
    json_: dict[str, Expected] = Field(default={}, alias="json")
    """Conditions on the body as JSON, by dotted path: `{status: ok, queue.length: "< 100", jobs.0.state: "!= dead"}`.
    """
    response_headers: dict[str, Expected] = {}
    """Conditions on the answer's headers: `{content-type: "~ ^text/html"}`."""
    max_latency: Duration | None = None
    """A slower answer is a warning."""
    redirects: int = Field(default=5, ge=0, le=20)
    """Follow at most this many."""
    verify: bool = True
    """Whether the certificate must be right. With `false` anyone may answer in the server's name."""
    ca: Path | None = Field(default=None, strict=False)
    """PEM file of the authorities to trust instead of the system's."""
    connect_to: Annotated[str, AfterValidator(_connect_to)] | None = Field(
        default=None, examples=["127.0.0.1:8069"]
    )
    """Connect to this `host:port` instead of the URL's; the name in the request and the certificate stays."""
    max_body: Size = 1_000_000
    """Read at most this much of the body; conditions see no more."""

    def host(self) -> str | None:
        return split_address(self.connect_to)[0] if self.connect_to else address_of(self.url).host

    def target(self) -> str:
        return self.url.partition("?")[0]

    async def probe(self, place: Place) -> Answer:
        trail = Trail(address_of(self.url).authority)
        return await bounded(self._ask(place, trail), self.timeout, trail)

    async def _ask(self, place: Place, trail: Trail) -> Answer:
        began = place.monotonic()
        try:
            request, response = await self._follow(place, trail)
        except BadAnswer as fault:
            return Answer.fail(f"{trail.where}: {fault}", cause="protocol", **trail.phases)
        latency = place.monotonic() - began
        facts = {"status": response.status, "size": len(response.body), **trail.phases}
        wrong = self._wrong(request, response)
        if wrong:
            return Answer.fail(wrong, cause="answer", **facts)
        said = f"{response.status} in {format_duration(latency)}"
        if self.max_latency is not None and latency > self.max_latency:
            return Answer.warn(f"{said}, slower than {format_duration(self.max_latency)}", **facts)
        return Answer.ok(said, **facts)

    async def _follow(self, place: Place, trail: Trail) -> tuple[Request, Response]:
        request = Request(self.method, self.url, self._revealed(), self._body())
        for hops in range(self.redirects + 1):
            response = await self._exchange(place, request, trail)
            location = response.header("location")
            if response.status not in _MOVED or location is None or not self.redirects:
                return request, response
            if hops < self.redirects:
                request = self._redirected(request, response.status, location)
        raise BadAnswer(
            f"more than {self.redirects} redirects, the last one to {request.url.partition('?')[0]}"
        )

    async def _exchange(self, place: Place, request: Request, trail: Trail) -> Response:
        asked, own = request.address, address_of(self.url)
        same = (asked.host, asked.port) == (own.host, own.port)
        return await exchange(
            place,
            request,
            trail,
            most=self.max_body,
            tls=tls.context(self.verify, self.ca) if asked.secure else None,
            connect_to=split_address(self.connect_to) if self.connect_to and same else None,
        )

    def _redirected(self, request: Request, status: int, location: str) -> Request:
        try:
            url = _url(urljoin(request.url, location).partition("#")[0])
        except ValueError:
            raise BadAnswer(f"it redirects to {location!r}, which is not a URL") from None
        keep = status in (307, 308) or request.method in ("GET", "HEAD")
        headers = request.headers
        if not _trusted(request.address, address_of(url)):
            secret = {name for name, value in self.headers.items() if isinstance(value, Secret)}
            headers = {n: v for n, v in headers.items() if n.lower() not in _PRIVATE and n not in secret}
        return Request(request.method if keep else "GET", url, headers, request.body if keep else None)

    def _revealed(self) -> dict[str, str]:
        headers = {n: v.reveal() if isinstance(v, Secret) else v for n, v in self.headers.items()}
        try:
            check_headers(dict(headers))
        except ValueError as fault:
            raise MainstayError(str(fault), hint="look at the secret: it must be one line") from None
        return headers

    def _body(self) -> bytes | None:
        text = self.body.reveal() if isinstance(self.body, Secret) else self.body
        return None if text is None else text.encode()

    def _wrong(self, request: Request, response: Response) -> str | None:
        """Say the first condition that does not hold."""
        if not any(low <= response.status <= high for low, high in self.status):
            return (
                f"expected status {_show_statuses(self.status)}, got {response.status}{_moved_to(response)}"
            )
        for name, condition in self.response_headers.items():
            value = response.header(name)
            if not condition.holds(MISSING if value is None else value):
                return f"header {name} is {show(MISSING if value is None else value)}, expected {condition}"
        return self._wrong_text(response) or self._wrong_json(response)

    def _wrong_text(self, response: Response) -> str | None:
        if not self.contains and not self.absent:
            return None
        text = response.body.decode(errors="replace")
        within = f" in its first {format_size(self.max_body)}" if response.cut else ""
        for wanted in self.contains:
            if wanted not in text:
                return f"the body does not contain {wanted!r}{within}"
        for unwanted in self.absent:
            if unwanted in text:
                return f"the body contains {unwanted!r}"
        return None

    def _wrong_json(self, response: Response) -> str | None:
        if not self.json_:
            return None
        try:
            document = json.loads(response.body)
        except ValueError:
            cut = f" (only its first {format_size(self.max_body)} were read)" if response.cut else ""
            return f"the body is not JSON{cut}"
        for path, condition in self.json_.items():
            value = find(document, path)
            if not condition.holds(value):
                return f"{path or 'the body'} is {show(value)}, expected {condition}"
        return None


def _trusted(before: Address, after: Address) -> bool:
    """Say whether secrets may go along: to the very same place, or to the same host when it becomes secure."""
    if before.host != after.host:
        return False
    return (before.secure, before.port) == (after.secure, after.port) or (after.secure and not before.secure)


def _show_statuses(ranges: tuple[tuple[int, int], ...]) -> str:
    return " or ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def _moved_to(response: Response) -> str:
    location = response.header("location")
    return f" to {location.partition('?')[0]}" if response.status in _MOVED and location else ""
