"""What stands before every page: headers, logins, tokens against forged forms, limits on guessing."""

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import parse_qsl, quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mainstay.config.web import WebSettings
from mainstay.ports.clock import Clock
from mainstay.store import accounts
from mainstay.store.accounts import Login
from mainstay.store.base import Store

COOKIE = "mainstay_session"
LONGEST_FORM = 64 * 1024
TOUCH = 600.0
OPEN = ("/static/", "/login", "/healthz", "/metrics", "/favicon.ico")
"""What needs no login; `/metrics` judges by itself."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

Form = dict[str, str]
Handler = Callable[[Request], Awaitable[Response]]
Action = Callable[[Request, Form], Awaitable[Response]]


class Headers:
    """Adds the security headers to every answer, and forbids keeping pages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self.app(scope, receive, adding)


class Guard:
    """Lets nobody in without a login or the scripts' token; puts who it is into `request.state.login`."""

    def __init__(self, app: ASGIApp, store: Store, clock: Clock, settings: WebSettings) -> None:
        self.app = app
        self.store = store
        self.clock = clock
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        login = await self.who(connection)
        connection.state.login = login
        connection.state.script = login is None and bearer_fits(connection, self.settings)
        if login is None and not connection.state.script and not is_open(scope["path"]):
            await refuse(connection)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def who(self, connection: HTTPConnection) -> Login | None:
        """The login that the cookie opens."""
        token = connection.cookies.get(cookie_name(connection, self.settings))
        if not token or scope_is_static(connection):
            return None
        now = self.clock.now()
        login = await self.store.read(lambda tx: accounts.find_login(tx, token, now, self.settings.session))
        if login and now - login.seen_at > TOUCH:
            await self.store.write(lambda tx: accounts.touch_login(tx, login.token_hash, now))
        return login


def scope_is_static(connection: HTTPConnection) -> bool:
    """Whether the request is for a file that is the same for everybody."""
    return str(connection.scope["path"]).startswith("/static/")


def is_open(path: str) -> bool:
    """Whether a path needs no login."""
    return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in OPEN)


def refuse(connection: HTTPConnection) -> Response:
    """Send a person to the login page, tell a program that it may not."""
    path = connection.scope["path"]
    wants_page = "text/html" in connection.headers.get("accept", "") and not path.startswith("/api/")
    if wants_page and "hx-request" in connection.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if wants_page:
        query = connection.scope["query_string"].decode("latin-1")
        back = quote(path + (f"?{query}" if query else ""))
        return RedirectResponse(f"/login?next={back}", 303)
    return problem(401, "not logged in", "log in, or send the header Authorization: Bearer TOKEN")


def problem(status: int, what: str, hint: str | None = None) -> JSONResponse:
    """An error for programs: what and how to help it."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": what, "hint": hint}, status, headers)


def is_secure(connection: HTTPConnection, settings: WebSettings) -> bool:
    """Whether people reach us encrypted."""
    return connection.url.scheme == "https" or (settings.url or "").startswith("https://")


def cookie_name(connection: HTTPConnection, settings: WebSettings) -> str:
    """The session cookie's name; with `__Host-` browsers let nobody else set it."""
    return f"__Host-{COOKIE}" if is_secure(connection, settings) else COOKIE


def set_cookie(
    response: Response, connection: HTTPConnection, settings: WebSettings, name: str, value: str, age: float
) -> None:
    """Set a cookie that scripts cannot read and other sites cannot send along."""
    response.set_cookie(
        name,
        value,
        max_age=int(age),
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_secure(connection, settings),
    )


# --- tokens --------------------------------------------------------------------------------------------------------


def bearer_fits(connection: HTTPConnection, settings: WebSettings) -> bool:
    """Whether the request carries the scripts' token."""
    kind, _, given = connection.headers.get("authorization", "").partition(" ")
    if settings.token is None or kind.lower() != "bearer":
        return False
    wanted = hashlib.sha256(settings.token.reveal().encode()).digest()
    return hmac.compare_digest(hashlib.sha256(given.strip().encode()).digest(), wanted)


def mask(token: str) -> str:
    """Write a token differently each time, so that compressed pages give nothing away about it."""
    raw = token.encode()
    pad = secrets.token_bytes(len(raw))
    return base64.urlsafe_b64encode(pad + bytes(a ^ b for a, b in zip(pad, raw, strict=True))).decode()


def unmask(text: str) -> str:
    """Undo `mask`; gives '' for anything else."""
    try:
        raw = base64.urlsafe_b64decode(text.encode())
        half = len(raw) // 2
        return bytes(a ^ b for a, b in zip(raw[:half], raw[half:], strict=True)).decode()
    except (ValueError, UnicodeError):
        return ""


def action(handler: Action) -> Handler:
    """Make the handler of a form: it runs only for a request that our own page has sent."""

    @wraps(handler)
    async def guarded(request: Request) -> Response:
        form = await read_form(request)
        if form is None:
            return problem(413, "the form is too long")
        if not request.state.script and not _ours(request, form):
            return problem(403, "this form was not sent by our own page", "reload the page and try again")
        return await handler(request, form)

    return guarded


def _ours(request: Request, form: Form) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    login: Login | None = request.state.login
    given = unmask(form.get("csrf") or request.headers.get("x-csrf-token", ""))
    return login is not None and hmac.compare_digest(given.encode(), login.csrf.encode())


async def read_form(request: Request) -> Form | None:
    """Read a plain form; None when it is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return None
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))


# --- guessing ------------------------------------------------------------------------------------------------------


class Guesses:
    """Counts failed logins of each address: a few in a while, then none until the oldest is forgotten."""

    def __init__(self, clock: Clock, most: int = 5, within: float = 900.0, addresses: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._within = within
        self._addresses = addresses
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the address may try again; 0 when it may now."""
        recent = self._recent(address)
        return (
            recent[-self._most] + self._within - self._clock.monotonic() if len(recent) >= self._most else 0.0
        )

    def failed(self, address: str) -> None:
        """Note a failed try."""
        group = network(address)
        self._failed[group] = [*self._recent(address), self._clock.monotonic()]
        self._failed.move_to_end(group)
        while len(self._failed) > self._addresses:
            self._failed.popitem(last=False)

    def forget(self, address: str) -> None:
        """A login succeeded."""
        self._failed.pop(network(address), None)

    def _recent(self, address: str) -> list[float]:
        oldest = self._clock.monotonic() - self._within
        return [at for at in self._failed.get(network(address), []) if at > oldest]


def network(address: str) -> str:
    """What counts as one address: of IPv6 the /64 that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
