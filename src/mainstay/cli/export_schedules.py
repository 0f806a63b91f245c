"""The part of `mainstay export` that writes schedules."""

import argparse
import os
import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from mainstay.cli.context import Context
from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from mainstay.config.model import Config
    from mainstay.engine.elsewhere.plan import Machine, Written


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Write a crontab, or units."""
    from mainstay.app.compose import jobs_of
    from mainstay.engine.elsewhere.crontab import crontab
    from mainstay.engine.elsewhere.plan import entries_of
    from mainstay.engine.elsewhere.systemd import units

    config = ctx.config(secrets=False)
    entries = entries_of(jobs_of(config), config.timezone)
    machine = _machine(config, args)
    made = crontab(config.name, entries, machine) if args.kind == "crontab" else units(entries, machine)
    for note in made.notes:
        ctx.warn(f"{args.kind}: {note}")
    written = _save(made, args.kind, args.output) if args.output else []
    if ctx.out.json:
        ctx.out.data({"kind": args.kind, "written": written, "files": made.files, "notes": made.notes})
    elif args.output:
        ctx.out.print(("wrote ", "green"), f"{len(written)} file{'s' * (len(written) != 1)} to {args.output}")
    elif args.kind == "systemd":
        raise MainstayError(
            f"the units are {len(made.files)} files",
            hint="--output DIRECTORY writes them, like /etc/systemd/system",
        )
    else:
        ctx.out.stdout.write(made.files["crontab"])
    return 0


def _machine(config: "Config", args: argparse.Namespace) -> "Machine":
    from mainstay.engine.elsewhere.plan import Machine

    called = which("mainstay") or str(Path(sys.argv[0]).absolute())
    program = (
        [called]
        if os.access(called, os.X_OK) and Path(called).is_file()
        else [sys.executable, "-m", "mainstay"]
    )
    secrets = os.environ.get("CREDENTIALS_DIRECTORY", "/etc/mainstay/secrets")
    return Machine(program, str(config.file), secrets, args.user, _zone(args.timezone))


def _zone(given: str | None) -> str:
    """Give the time zone that is named, or this machine's; UTC when nobody knows it."""
    from pydantic import TypeAdapter, ValidationError

    from mainstay.cli.parser import UsageError
    from mainstay.core.schedule import TimeZone

    here = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    try:
        return TypeAdapter(TimeZone).validate_python(given or here or "UTC")
    except ValidationError:
        raise UsageError(f"{given or here} is no time zone", hint="like Asia/Manila") from None


def _save(made: "Written", kind: str, output: Path) -> list[str]:
    from mainstay.cli.export import write_whole

    wanted = [(output / name if kind == "systemd" else output, text) for name, text in made.files.items()]
    return write_whole(wanted)
