"""Look at webhooks that were taken in, have them brought again, fetch what was missed."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context, run_async
from mainstay.cli.output import Text, harmless
from mainstay.cli.parser import UsageError, amount, closest
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, clock_time, count, latency, moment, zone_of
from mainstay.core.amounts import format_size
from mainstay.core.errors import ConfigError, MainstayError

if TYPE_CHECKING:
    from mainstay.edge.delivery.replay import Replayed
    from mainstay.store.base import Tx
    from mainstay.store.inbox_delivery import Event, Line

STATES = {
    "queued": ("○", "waits", "cyan"),
    "held": ("▲", "held", "yellow"),
    "delivered": ("●", "delivered", "green"),
    "dead": ("✖", "dead letter", "red"),
    "kept": ("▪", "kept", ""),
}
SHOWN = 64 * 1024
"""Bytes of a body that are printed; `--json` and `--body` give all."""
AT_ONCE = 500


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = below.add_parser("list", help="the newest first (this is what happens without an action)")
    _filters(listing, 20)
    shown = below.add_parser("show", help="what came, and what became of it")
    shown.add_argument("event", metavar="ID", help="its identifier; the end is enough")
    shown.add_argument(
        "--body", action="store_true", help="write the very bytes of the body, and nothing else"
    )
    again = below.add_parser("replay", help="bring events again: those named, or all that the filters find")
    again.add_argument("events", metavar="ID", nargs="*", help="their identifiers; the end is enough")
    _filters(again, 1000)
    again.add_argument("--dry-run", action="store_true", help="only say what would be done")
    tail = below.add_parser("tail", help="what comes in, as it comes")
    tail.add_argument("--source", default="", help="only of this source")
    tail.add_argument("--count", type=amount, default=0, metavar="N", help="end after so many")
    repair = below.add_parser("repair", help="ask the sender what was missed, and fetch it")
    repair.add_argument("source", metavar="SOURCE", help="the source, as under webhooks:")
    repair.add_argument(
        "--since", required=True, metavar="WHEN", help="from when on, like 6h or 2026-11-25T08:00"
    )
    repair.add_argument("--dry-run", action="store_true", help="only say what is missing")


def _filters(parser: argparse.ArgumentParser, limit: int) -> None:
    parser.add_argument("--source", default="", help="only of this source")
    parser.add_argument(
        "--state", default="", type=_state, choices=[*STATES], metavar="STATE", help=", ".join(STATES)
    )
    parser.add_argument("--type", default="", help="only of this type")
    parser.add_argument(
        "--since", default="", metavar="WHEN", help="from when on, like 2h or 2026-11-25T08:00"
    )
    parser.add_argument("--text", default="", help="only with this text in the body")
    parser.add_argument("--limit", type=amount, default=limit, metavar="N", help=f"at most so many ({limit})")


def _state(word: str) -> str:
    """Give the state that a word means; those which the lists show for people are understood too."""
    shown = {told: state for state, (_, told, _) in STATES.items()}
    return shown.get(word, word)


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action in (None, "list"):
        return _list(ctx, args)
    if args.action == "show":
        return _show(ctx, args)
    if args.action == "replay":
        return _replay(ctx, args)
    if args.action == "repair":
        from mainstay.cli.repair import repair

        return repair(ctx, args.source, moment_of(ctx, args.since), dry=args.dry_run)
    return run_async(_tail(ctx, args.source, args.count))


def moment_of(ctx: Context, text: str) -> float:
    """Give the moment that `2h` (ago) or `2026-11-25T08:00` (in the configured time zone) means."""
    from datetime import datetime

    from mainstay.core.units import parse_duration

    try:
        return ctx.clock.now() - parse_duration(text)
    except ValueError:
        pass
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no moment", hint="write 2h, 3d or 2026-11-25T08:00") from None
    return (given if given.tzinfo else given.replace(tzinfo=zone_of(ctx.outline().timezone))).timestamp()


def _find(ctx: Context, args: argparse.Namespace) -> "list[Line]":
    from mainstay.store import inbox_delivery

    given: dict[str, Any] = {name: getattr(args, name, "") for name in ("source", "state", "type")}
    since, text = getattr(args, "since", ""), getattr(args, "text", "")
    moment = moment_of(ctx, since) if since else 0.0
    limit = getattr(args, "limit", 20)
    found = ctx.look(
        lambda tx: inbox_delivery.find(tx, **given, since=moment, part=text.encode(), limit=limit + 1)
    )
    if not found:
        _known(ctx, given["source"])
    if len(found) > limit:
        ctx.out.note(f"only the newest {limit}; --limit N gives more")
    return found[:limit]


def _known(ctx: Context, source: str) -> None:
    """Refuse a source that is in no file: what is misspelt would look like what never came."""
    if not source:
        return
    try:
        names = list(ctx.config(secrets=False).webhooks)
    except ConfigError:
        return  # told already; what came in can be looked at all the same
    if names and source not in names:
        guess = closest(source, names)
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(names)}"
        raise UsageError(f"there is no source of webhooks {source}", hint=hint)


def _list(ctx: Context, args: argparse.Namespace) -> int:
    found = _find(ctx, args)
    if ctx.out.json:
        from dataclasses import asdict

        ctx.out.data({"events": [asdict(line) for line in found]})
        return 0
    if not found:
        ctx.out.print(("no event", "dim"))
        return 0
    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    titles = ("", "id", "received", "source", "type", "state", "tries", "size", "")
    table = [_row(line, now, zone) for line in found]
    show(ctx.out, [Column(title, right=title == "size", wrap=not title) for title in titles], table)
    return 0


def _row(line: "Line", now: float, zone: Any) -> list[str | Text]:
    symbol, word, style = STATES[line.state]
    told = line.error if line.error and line.state != "delivered" else ""
    if line.state == "queued" and line.next_at > now:
        told = f"{told}; next {ago(line.next_at, now)}" if told else f"next {ago(line.next_at, now)}"
    return [
        (symbol, style),
        (line.id[-8:], "dim"),
        moment(line.received_at, zone, now),
        (line.source, "bold"),
        line.event_type or "",
        (word, style),
        str(line.attempts or ""),
        format_size(line.size),
        (harmless(told), "dim"),
    ]


def _named(ctx: Context, part: str) -> str:
    """Give the whole identifier that a piece of it means."""
    from mainstay.cli.find import only
    from mainstay.store import inbox_delivery

    found = ctx.look(lambda tx: inbox_delivery.like(tx, part))
    return str(only(found, "event", part)["id"])


def _show(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.store import inbox_delivery

    identifier = _named(ctx, args.event)

    def look(tx: "Tx") -> "tuple[Event | None, list[inbox_delivery.Attempt]]":
        return inbox_delivery.get(tx, identifier), inbox_delivery.attempts(tx, identifier)

    event, attempts = ctx.look(look)
    if event is None:
        raise MainstayError(f"there is no event {args.event}", hint="mainstay inbox list lists them")
    if args.body:
        ctx.out.stdout.flush()
        ctx.out.stdout.buffer.write(event.body)
        return 0
    if ctx.out.json:
        ctx.out.data(_plain(event, attempts))
        return 0
    _tell(ctx, event, attempts)
    return 0


def _plain(event: "Event", attempts: list[Any]) -> dict[str, Any]:
    import base64
    from dataclasses import asdict

    facts = {name: value for name, value in asdict(event).items() if name not in ("body", "key")}
    body = base64.b64encode(event.body).decode()
    return {**facts, "body": body, "tries": [asdict(one) for one in attempts]}


def _tell(ctx: Context, event: "Event", attempts: list[Any]) -> None:
    out, now, zone = ctx.out, ctx.clock.now(), zone_of(ctx.outline().timezone)
    symbol, word, style = STATES[event.state]
    out.print((f"{symbol} {event.event_type or event.source}", style), (f"  {word}, {event.id}", "dim"))
    facts = (
        ("source", event.source),
        ("received", f"{moment(event.received_at, zone, now)} from {event.peer}"),
        ("proven by", event.secret or ""),
        ("sender's id", event.event_id or ""),
        ("order key", harmless(event.order_key or "")),
        ("repeats", event.replay_of or ""),
        ("same id as", event.conflict_of or ""),
        ("next try", ago(event.next_at, now) if event.state == "queued" else ""),
    )
    show(out, [Column(""), Column("", wrap=True)], [[(name, "dim"), value] for name, value in facts if value])
    if attempts:
        out.print("")
        tries: list[list[str | Text]] = [
            [(clock_time(one.at, zone), "dim"), latency(one.latency), harmless(one.detail)]
            for one in attempts
        ]
        show(out, [Column(""), Column(""), Column("", wrap=True)], tries)
    out.print("")
    for name, value in event.headers:
        out.print("  ", (f"{name}: ", "dim"), harmless(value))
    out.print("")
    out.print(harmless(event.body[:SHOWN].decode("utf-8", "replace")))
    if len(event.body) > SHOWN:
        out.note(f"only the beginning of {format_size(len(event.body))}; --body writes all")


def _replay(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.edge.delivery.replay import each_once

    filters = any((args.source, args.state, args.type, args.since, args.text))
    if bool(args.events) == filters:
        raise UsageError(
            "say which events: by their ids or by filters, not both",
            hint="mainstay inbox replay --source bank --state dead",
        )
    ids = [_named(ctx, one) for one in args.events] or each_once(_find(ctx, args))
    ids = _brought(ctx, ids)
    if args.dry_run:
        if ctx.out.json:
            ctx.out.data({"would_replay": ids})
        else:
            for one in ids:
                ctx.out.print(f"would bring {one} again")
            ctx.out.note(f"{count(len(ids), 'event')}; nothing was changed")
        return 0
    done = [one for start in range(0, len(ids), AT_ONCE) for one in _again(ctx, ids[start : start + AT_ONCE])]
    if ctx.out.json:
        ctx.out.data({"replayed": [{"of": one.of, "id": one.id} for one in done]})
    else:
        ctx.out.print((f"{count(len(done), 'event')} brought again", "green" if done else "dim"))
    return 0 if done else 1


def _brought(ctx: Context, ids: list[str]) -> list[str]:
    """Leave out, and say so, what nobody takes: brought again it would wait for ever."""
    from mainstay.store import inbox_delivery

    takers = ctx.outline().setup.sources
    sources = ctx.look(lambda tx: {one: inbox_delivery.source_of(tx, one) for one in ids})
    left = sorted({source for source in sources.values() if source and source not in takers})
    if left:
        what = f"nobody takes the events of {', '.join(left)}"
        hint = f"say who does: webhooks.{left[0]}.deliver_to"
        if len([one for one in ids if sources[one] in takers]) == 0:
            raise MainstayError(what, hint=hint)
        ctx.out.note(f"{what}; {hint}")
    return [one for one in ids if sources[one] in takers]


def _again(ctx: Context, ids: list[str]) -> "list[Replayed]":
    from mainstay.cli.people import who
    from mainstay.edge.delivery.replay import replay

    now, person, takers = ctx.clock.now(), who(), ctx.outline().setup.sources
    return ctx.change(lambda tx: replay(tx, ids, person, now, takers))


async def _tail(ctx: Context, source: str, most: int) -> int:
    from dataclasses import asdict

    from mainstay.store import inbox_delivery
    from mainstay.store.inbox import TOPIC
    from mainstay.store.open import open_store

    zone, told = zone_of(ctx.outline().timezone), 0
    store = await open_store(ctx.outline().journal_url(), ctx.clock)
    try:
        newest = await store.read(lambda tx: inbox_delivery.find(tx, source=source, limit=1))
        seen = {line.id for line in newest}
        since = ctx.clock.now()
        while not most or told < most:
            waiting = store.wait(TOPIC, 30.0)
            lines = await store.read(
                lambda tx: inbox_delivery.find(tx, source=source, since=since - 60, limit=1000)
            )
            for line in reversed([one for one in lines if one.id not in seen and one.received_at >= since]):
                seen.add(line.id)
                told += 1
                if ctx.out.json:
                    ctx.out.stdout.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
                else:
                    words = f"  {line.event_type or ''}  {format_size(line.size)}"
                    ctx.out.print(
                        (f"{clock_time(line.received_at, zone)}  {line.id[-8:]}", "dim"),
                        (f"  {line.source}", "bold"),
                        words,
                    )
                ctx.out.stdout.flush()
            if most and told >= most:
                waiting.close()
                break
            await waiting
    finally:
        await store.close()
    return 0
