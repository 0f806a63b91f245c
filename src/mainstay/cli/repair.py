"""Asks a sender what it sent, and fetches what is not in the inbox."""

from typing import TYPE_CHECKING

from mainstay.cli.context import Context, run_async
from mainstay.cli.output import Text
from mainstay.cli.parser import UsageError, closest
from mainstay.cli.table import Column, show
from mainstay.cli.words import count, moment, zone_of

if TYPE_CHECKING:
    from mainstay.edge.delivery.repair.work import Repaired


def repair(ctx: Context, source: str, since: float, *, dry: bool) -> int:
    """Repair the gap of a source, or only say what is missing; 1 when something is and was not fetched."""
    from mainstay.edge.delivery.repair.work import repair_gap
    from mainstay.edge.delivery.targets import Tools
    from mainstay.ports.resolver import Resolver

    config = ctx.config()
    settings = config.webhooks.get(source)
    if settings is None:
        guess = closest(source, list(config.webhooks))
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(config.webhooks) or 'none'}"
        raise UsageError(f"there is no source {source}", hint=hint)
    how = settings.repair
    if how is None:
        hint = f"webhooks: {{{source}: {{repair: {{github: {{hook: ..., token: ...}}}}}}}}"
        raise UsageError(f"nothing says how {source} is asked what it sent", hint=hint)

    async def work() -> "Repaired":
        async with ctx.app(config) as app:
            tools = Tools(app.clock, Resolver(app.clock).resolve)
            return await repair_gap(app.store, tools, source, settings, how, since, dry=dry)

    done = run_async(work())
    _tell(ctx, done, dry=dry)
    return 1 if dry and done.missing else 0


def _tell(ctx: Context, done: "Repaired", *, dry: bool) -> None:
    if ctx.out.json:
        missing = [{"id": key, "type": kind, "at": at} for key, kind, at in done.missing]
        ctx.out.data({"seen": done.seen, "missing": missing, "added": done.added, "dry_run": dry})
        return
    zone, now = zone_of(ctx.outline().timezone), ctx.clock.now()
    rows: list[list[str | Text]] = [
        [moment(at, zone, now), (kind, "bold"), (key, "dim")] for key, kind, at in done.missing
    ]
    show(ctx.out, [Column("sent"), Column("type"), Column("id")], rows)
    what = f"{count(done.seen, 'event')} sent, {len(done.missing)} missing"
    end = "nothing was changed" if dry else f"{len(done.added)} fetched"
    ctx.out.print((f"{what}, {end}", "yellow" if dry and done.missing else "green"))
