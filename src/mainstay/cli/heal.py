"""Do now what is done when a service fails: the same guards, the same confirming look, the same audit trail."""

import argparse

from mainstay.cli.context import Context, run_async
from mainstay.cli.parser import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("service", nargs="?", help="the service to heal")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done, and why")
    parser.add_argument("--off", metavar="WHY", help="switch all healing off, with the reason")
    parser.add_argument("--on", action="store_true", help="switch healing on again")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Heal a service, or throw the switch."""
    if args.off or args.on:
        return _switch(ctx, args)
    if args.service is None:
        raise UsageError("which service?", hint=f"to be healed are: {', '.join(_healed(ctx)) or 'none'}")
    if args.service not in _healed(ctx):
        names = ", ".join(_healed(ctx)) or "none"
        raise UsageError(
            f"nothing says how to heal {args.service}", hint=f"`heal: restart` does; so far: {names}"
        )
    if args.dry_run:
        return _plan(ctx, args.service)
    from mainstay.cli.doing import do
    from mainstay.cli.people import who

    return do(ctx, ctx.config(), [(f"heal:{args.service}", {"by": who()})])


def _healed(ctx: Context) -> list[str]:
    return [service.name for service in ctx.outline().setup.services if service.heals]


def _plan(ctx: Context, service: str) -> int:
    async def look() -> tuple[str, str, str, str]:
        from mainstay.playbooks.heal import HealPorts, plan

        async with ctx.app() as app:
            made = await plan(app.port(HealPorts), service)
            return made.action, str(made.decision.go), made.decision.reason, str(made.state.state)

    action, go, reason, state = run_async(look())
    if ctx.out.json:
        ctx.out.data({"service": service, "state": state, "action": action, "decision": go, "reason": reason})
    else:
        ctx.out.print(
            (service, "bold"), f" is {state}; what would be done now: ", (go, "cyan"), f" ({reason})"
        )
        ctx.out.print((f"  the action is to {action} it", "dim"))
    return 0


def _switch(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.people import who
    from mainstay.playbooks import switch
    from mainstay.store.base import Tx

    person, now = who(), ctx.clock.now()

    def unit(tx: Tx) -> None:
        if args.on:
            switch.turn_on(tx, person, now)
        else:
            switch.turn_off(tx, person, args.off, now)

    state = "on" if args.on else "off"
    if args.dry_run:
        ctx.out.print(f"would switch healing {state}")
        return 0
    ctx.change(unit)
    if ctx.out.json:
        ctx.out.data({"healing": state, "by": person})
    else:
        ctx.out.print(f"healing is {state}")
    return 0
