"""Logging in and out, light and dark, help."""

import asyncio
import hmac
import secrets

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mainstay.store import accounts, audit
from mainstay.store.base import Tx
from mainstay.web.security import (
    Form,
    cookie_name,
    is_secure,
    problem,
    read_form,
    set_cookie,
)
from mainstay.web.site import show, site_of
from mainstay.web.words import rough

GATE = "mainstay_gate"
"""Cookie that ties the login form to the browser that asked for it."""


async def login_page(request: Request) -> Response:
    """`GET /login`."""
    back = local(request.query_params.get("next", "/"))
    if request.state.login:
        return RedirectResponse(back, 303)
    return _gate(request, back)


async def login(request: Request) -> Response:
    """`POST /login`."""
    form = await read_form(request)
    if form is None:
        return problem(413, "the form is too long")
    site, back = site_of(request), local(form.get("next", "/"))
    name, password = form.get("account", "").strip(), form.get("password", "")
    gate = request.cookies.get(GATE, "")
    if not gate or not hmac.compare_digest(gate.encode(), form.get("csrf", "").encode()):
        return _gate(request, back, "The form was too old. Try again.", name, 403)
    address = request.client.host if request.client else "unknown"
    wait = site.guesses.wait(address)
    if wait > 0:
        answer = _gate(request, back, f"Too many failed logins. Try again in {rough(wait + 60)}.", name, 429)
        answer.headers["Retry-After"] = str(int(wait) + 1)
        return answer
    site.guesses.failed(address)
    kept = await site.store.read(lambda tx: accounts.kept_password(tx, name))
    async with site.hashing:
        fits = await asyncio.to_thread(accounts.password_fits, kept, password[:1024])
    if not fits:
        return _gate(request, back, "Account and password do not fit.", name, 403)
    site.guesses.forget(address)
    return await _welcome(request, name, back, address)


async def _welcome(request: Request, name: str, back: str, address: str) -> Response:
    site, now = site_of(request), site_of(request).clock.now()

    def unit(tx: Tx) -> str:
        token, _ = accounts.open_login(tx, name, now, site.settings.session)
        audit.note(tx, name, "login", address, now)
        return token

    token = await site.store.write(unit)
    answer = RedirectResponse(back, 303)
    set_cookie(
        answer, request, site.settings, cookie_name(request, site.settings), token, site.settings.session
    )
    answer.delete_cookie(GATE, path="/login")
    return answer


def _gate(request: Request, back: str, error: str = "", account: str = "", status: int = 200) -> HTMLResponse:
    site = site_of(request)
    token = secrets.token_urlsafe(24)
    theme = request.cookies.get("mainstay_theme")
    body = site.templates.get_template("login.html").render(
        plan=site.plan,
        theme=theme if theme in ("light", "dark") else None,
        error=error,
        account=account or accounts.ADMIN,
        next=back,
        csrf=token,
    )
    answer = HTMLResponse(body, status)
    secure = is_secure(request, site.settings)
    answer.set_cookie(
        GATE, token, max_age=3600, path="/login", httponly=True, samesite="strict", secure=secure
    )
    return answer


async def logout(request: Request, form: Form) -> Response:
    """`POST /logout`."""
    site, login = site_of(request), request.state.login
    if login:
        await site.store.write(lambda tx: accounts.close_login(tx, login.token_hash))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(
        cookie_name(request, site.settings), path="/", secure=is_secure(request, site.settings)
    )
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


async def theme(request: Request, form: Form) -> Response:
    """`POST /theme`: from the system's to dark, to light, and back; or the one that is named."""
    order = {None: "dark", "dark": "light", "light": None}
    present = request.cookies.get("mainstay_theme")
    wanted = form.get("theme") or order.get(present)
    answer = RedirectResponse(local(form.get("back", "/")), 303)
    if wanted in ("light", "dark"):
        answer.set_cookie("mainstay_theme", wanted, max_age=365 * 86400, path="/", samesite="lax")
    else:
        answer.delete_cookie("mainstay_theme", path="/")
    return answer


async def keyboard(request: Request) -> Response:
    """`GET /help`."""
    return await show(request, "help.html", lambda tx: {})


def local(address: str) -> str:
    """An address on this site; whatever leads elsewhere becomes the overview."""
    plain = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if plain and "\\" not in address else "/"
