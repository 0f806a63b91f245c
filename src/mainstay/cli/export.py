"""Write what another program needs to do a part of mainstay's work.

nginx, caddy, envoy, haproxy: the configuration of a proxy that carries the requests and asks the gateway about each of
them. What it cannot do of what mainstay.yaml asks for stands at the top of what is written, and on standard error.
crontab, systemd: the schedules of all jobs, as a crontab or as timers (--output names their directory). Each does what
is due of its job, by the same rules as the agent, and nothing twice when both do.
"""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.cli.context import Context
from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from mainstay.config.model import Config
    from mainstay.edge.gateway.export import Exported

KINDS = ("nginx", "caddy", "envoy", "haproxy")
SCHEDULES = ("crontab", "systemd")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=(*KINDS, *SCHEDULES), help="what for")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write, for systemd the directory; for haproxy mainstay.lua is put beside it",
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="where that proxy is to listen (default: every address, 443 with edge.tls, else 80)",
    )
    parser.add_argument(
        "--webhooks",
        metavar="PATH",
        default="/hooks/",
        help="the beginning of the paths of webhooks, where they are configured (default: /hooks/)",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        default="mainstay",
        help="the account that runs the jobs (default: mainstay)",
    )
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help="the time zone of the machine, for a crontab (default: this machine's)",
    )


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Write it."""
    if args.kind in SCHEDULES:
        from mainstay.cli.export_schedules import run as schedules

        return schedules(ctx, args)
    from mainstay.edge.gateway.export import Site, export

    config = ctx.config(secrets=False)
    site = Site(
        config.edge,
        config.gateway,
        bool(config.webhooks),
        _listen(config, args.listen),
        _hooks(args.webhooks),
    )
    beside = args.output.absolute().parent if args.output else "/etc/haproxy"
    made = export(args.kind, site, str(beside))
    for note in made.notes:
        ctx.warn(f"{args.kind}: {note}")
    written = _save(made, args.output) if args.output else []
    if ctx.out.json:
        ctx.out.data({"kind": args.kind, "written": written, "files": made.files, "notes": made.notes})
    elif args.output:
        ctx.out.print(("wrote ", "green"), " and ".join(written))
    elif len(made.files) > 1:
        raise MainstayError(
            f"the configuration of {args.kind} is {len(made.files)} files",
            hint=f"--output {next(iter(made.files))} writes them",
        )
    else:
        ctx.out.stdout.write(next(iter(made.files.values())))
    return 0


def _listen(config: "Config", given: str | None) -> str:
    from pydantic import TypeAdapter, ValidationError

    from mainstay.cli.parser import UsageError
    from mainstay.core.listen import Listen

    if given is None:
        return ":443" if config.edge.tls else ":80"
    try:
        return TypeAdapter(Listen).validate_python(given)
    except ValidationError:
        raise UsageError(f"{given} is no address to listen on", hint="like 0.0.0.0:443") from None


def _hooks(given: str) -> str:
    from mainstay.cli.parser import UsageError

    if not re.fullmatch(r"(?:/[A-Za-z0-9_-]+)+/?", given):
        raise UsageError(f"{given} is no beginning of a path", hint="like /hooks/")
    return given.rstrip("/") + "/"


def _save(made: "Exported", output: Path) -> list[str]:
    """Write the files; those beside the configuration first, since it needs them."""
    (_, text), *others = made.files.items()
    return write_whole([*((output.with_name(name), content) for name, content in others), (output, text)])


def write_whole(wanted: list[tuple[Path, str]]) -> list[str]:
    """Write files, each as a whole or not at all; give their paths, the last one first."""
    for path, content in wanted:
        draft = path.with_name(f".{path.name}.new")
        try:
            draft.write_text(content, "utf-8")
            draft.replace(path)
        except OSError as fault:
            reason = (fault.strerror or "it cannot be written").lower()
            raise MainstayError(f"{path}: {reason}", hint="choose another place") from None
    return [str(path) for path, _ in reversed(wanted)]
