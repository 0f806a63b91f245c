"""Send a test event as a source's real sender would: signed, to the edge of this machine or to any other address."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context, run_async
from mainstay.cli.parser import UsageError, closest

if TYPE_CHECKING:
    from mainstay.config.model import Config
    from mainstay.core.secret import Secret
    from mainstay.edge.schemes.base import Scheme, Sending
    from mainstay.edge.webhooks import WebhookSettings

PATIENCE = 30.0
"""Seconds that the whole sending may take."""
MOST_SHOWN = 4096


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    send = below.add_parser("send", help="sign a test event and send it")
    send.add_argument("source", help="the source, as it is called under `webhooks:`")
    send.add_argument("--url", help="where to; the edge of this machine when left out")
    send.add_argument(
        "--body", metavar="FILE", help="what to send, - for standard input; an example when left out"
    )
    send.add_argument("--type", metavar="TYPE", help="the event's type")
    send.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a further header"
    )
    send.add_argument(
        "--secret", metavar="NAME", help="which of the source's secrets signs; the first when left out"
    )
    send.add_argument(
        "--bad", action="store_true", help="spoil the secret: all is well when the event is refused"
    )
    send.add_argument("--dry-run", action="store_true", help="only show what would be sent")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Send the event, or show it."""
    config = ctx.config()
    settings = _source(config, args.source)
    secret = _secret(settings, args)
    sending = _made(ctx, config, settings, secret, args)
    if args.dry_run:
        return _show(ctx, settings.scheme, secret, sending)
    status, text = run_async(_post(sending))
    return _tell(ctx, args, sending, status, text)


def _source(config: "Config", name: str) -> "WebhookSettings":
    if name in config.webhooks:
        return config.webhooks[name]
    guess = closest(name, list(config.webhooks))
    known = ", ".join(config.webhooks) or "none; name one under `webhooks:`"
    hint = f"did you mean {guess}?" if guess else f"known: {known}"
    raise UsageError(f"there is no source of webhooks {name}", hint=hint)


def _secret(settings: "WebhookSettings", args: argparse.Namespace) -> "Secret":
    from mainstay.core.secret import IN_FILE, Secret

    names = [each.name for each in settings.secrets]
    if args.secret is not None and args.secret not in names:
        known = ", ".join(names) or "none"
        raise UsageError(f"{args.source} has no secret {args.secret}", hint=f"its secrets: {known}")
    if not settings.scheme.needs_secret:
        if args.bad:
            raise UsageError(f"nothing is signed for {args.source}, so nothing can be spoiled")
        return Secret(IN_FILE, "")
    found = settings.secrets[names.index(args.secret) if args.secret else 0]
    return Secret(found.name, spoiled(found.reveal())) if args.bad else found


def spoiled(secret: str) -> str:
    """Change one letter in the middle, so that hex stays hex and base64 stays base64."""
    at = len(secret) // 2
    letter = {"9": "0", "f": "a", "F": "A", "z": "a", "Z": "A"}.get(secret[at])
    if letter is None:
        letter = chr(ord(secret[at]) + 1) if secret[at].isascii() and secret[at].isalnum() else "a"
    return secret[:at] + letter + secret[at + 1 :]


def _made(
    ctx: Context, config: "Config", settings: "WebhookSettings", secret: "Secret", args: argparse.Namespace
) -> "Sending":
    """Make the request. Schemes that sign the address sign the one that the source is known by."""
    from mainstay.core.ids import new_id
    from mainstay.edge.schemes.base import Sending

    now, scheme = ctx.clock.now(), settings.scheme
    if args.type and not (args.type.isascii() and args.type.isprintable()):
        raise UsageError("a type is printable ASCII")
    target = args.url or _address(config, args.source)
    public = settings.url or target
    id = f"test_{new_id(now)}"  # noqa: A001 -- what everybody calls it
    body = _body(args.body) if args.body else scheme.example(id, args.type, now)
    start = Sending(public, body, _headers(args.header), id, args.type)
    made = scheme.outgoing(start, secret, now).plus(_usual(body))
    if args.type and _type_of(scheme, made) != args.type:
        where = (
            "write it into the body"
            if args.body and scheme.type_path
            else f"leave --type out for {args.source}"
        )
        raise UsageError("the type of such an event does not stand where --type could put it", hint=where)
    return replace(made, url=target + made.url.removeprefix(public))


def _address(config: "Config", source: str) -> str:
    from mainstay.core.listen import within

    return f"{within(config.edge.webhooks, tls=config.edge.tls is not None)}/{source}"


def _body(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as fault:
        reason = (fault.strerror or "it cannot be read").lower()
        raise UsageError(f"{path}: {reason}", hint="--body FILE, or - for standard input") from None


def _headers(given: list[str]) -> tuple[tuple[str, str], ...]:
    import re

    pairs = []
    for text in given:
        found = re.fullmatch(r"([!#$%&'*+.^`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff]*)", text)
        if not found:
            raise UsageError(f"{text!r} is no header", hint="--header 'X-Name: value'")
        pairs.append((found[1], found[2].strip()))
    return tuple(pairs)


def _usual(body: bytes) -> list[tuple[str, str]]:
    from mainstay import __version__
    from mainstay.edge.schemes.base import parse

    kind = "application/json" if parse(body) is not None else "application/octet-stream"
    return [("Content-Type", kind), ("User-Agent", f"mainstay/{__version__} (webhook send)")]


def _type_of(scheme: "Scheme", sending: "Sending") -> str | None:
    from mainstay.edge.schemes.base import Delivery, Headers

    headers = Headers.of(sending.headers)
    return scheme.event_type(Delivery("POST", "/", "", headers, sending.body, "", sending.url))


def _show(ctx: Context, scheme: "Scheme", secret: "Secret", sending: "Sending") -> int:
    headers = {name: _masked(scheme, secret, name, value) for name, value in sending.headers}
    text = sending.body.decode("utf-8", "replace")
    if ctx.out.json:
        ctx.out.data({"url": sending.url, "headers": headers, "body": text, "sent": False})
        return 0
    ctx.out.print(("POST ", "bold"), sending.url)
    for name, value in headers.items():
        ctx.out.print((name, "cyan"), f": {value}")
    ctx.out.print("")
    ctx.out.print(text)
    return 0


def _masked(scheme: "Scheme", secret: "Secret", name: str, value: str) -> str:
    """Hide a header that is the secret itself."""
    from mainstay.core.secret import MASK, redact
    from mainstay.edge.schemes.shapes import Token

    is_secret = isinstance(scheme, Token) and name == scheme.token_header()
    return MASK if is_secret else redact(value)


async def _post(sending: "Sending") -> tuple[int, str]:
    """Send it; give the status and the beginning of the answer."""
    import aiohttp

    from mainstay.core.errors import CouldNotFindOut

    where = sending.url.partition("?")[0]
    limit = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=False) as session,
            session.post(
                sending.url, data=sending.body, headers=sending.headers, allow_redirects=False
            ) as answer,
        ):
            return answer.status, (await answer.content.read(MOST_SHOWN)).decode("utf-8", "replace").strip()
    except TimeoutError:
        raise CouldNotFindOut(f"{where} did not answer within {PATIENCE:g} s") from None
    except aiohttp.ClientConnectorCertificateError as fault:
        why = getattr(fault.certificate_error, "verify_message", "") or "it is not trusted"
        hint = "give --url with the name that the certificate is for"
        raise CouldNotFindOut(f"{where} shows a certificate that does not hold: {why}", hint=hint) from None
    except (aiohttp.InvalidURL, ValueError):
        raise UsageError(f"{where} is no URL", hint="--url http://127.0.0.1:8421/SOURCE") from None
    except (aiohttp.ClientError, OSError) as fault:
        why = getattr(getattr(fault, "os_error", fault), "strerror", None) or type(fault).__name__
        hint = "is the edge running? mainstay up"
        raise CouldNotFindOut(f"{where} cannot be reached: {why.lower()}", hint=hint) from None


def _tell(ctx: Context, args: argparse.Namespace, sending: "Sending", status: int, text: str) -> int:
    """Say what was answered. It is the right answer when a good event is taken, and a bad one refused."""
    accepted = 200 <= status < 300
    right = status == 401 if args.bad else accepted
    if ctx.out.json:
        answer: Any = {"source": args.source, "url": sending.url, "id": sending.id, "status": status}
        ctx.out.data({**answer, "accepted": accepted, "as_it_should": right, "answer": text})
        return 0 if right else 1
    mark = ("ok  ", "green") if right else ("no  ", "red")
    ctx.out.print(mark, f"{sending.url.partition('?')[0]} answered {status} {' '.join(text.split())}")
    if args.bad and accepted:
        ctx.out.note(("an event with a spoiled signature was taken", "alarm"))
    return 0 if right else 1
