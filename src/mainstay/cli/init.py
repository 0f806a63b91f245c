"""Look at this machine and write a mainstay.yaml for it: PostgreSQL, Redis, Docker, nginx, systemd units, disks.

The file is commented and passes `mainstay config check` as it is. Nothing else is changed.
"""

import argparse
from pathlib import Path

from mainstay.cli.context import Context
from mainstay.cli.words import count
from mainstay.core.errors import MainstayError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", nargs="?", type=Path, default=Path("mainstay.yaml"), help="the file to write")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")
    parser.add_argument("--print", action="store_true", help="write to standard output instead")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Write the file."""
    from mainstay.config.discover import Machine, discover
    from mainstay.config.sample import write

    if not args.print and args.path.exists() and not args.force:
        raise MainstayError(f"{args.path} is there already", hint="--force overwrites it, --print only shows")
    tell = (
        (lambda what: ctx.out.note((f"looking for {what}", "dim"))) if ctx.out.live else (lambda what: None)
    )
    found = discover(Machine(), tell)
    text = write(found, local_timezone())
    if args.print:
        ctx.out.stdout.write(text)
        return 0
    _save(args.path, text)
    facts = {
        "PostgreSQL server": len(found.postgres),
        "database": sum(len(server.databases) for server in found.postgres),
        "Redis server": len(found.redis),
        "container": len(found.containers),
        "web site": len(found.sites),
        "unit": len(found.units),
        "file system": len(found.disks),
    }
    if ctx.out.json:
        ctx.out.data({"file": str(args.path), "found": facts})
        return 0
    seen = [count(number, noun) for noun, number in facts.items() if number]
    ctx.out.print((f"wrote {args.path}: ", "green"), ", ".join(seen))
    ctx.out.print(("next: look through it, then mainstay config check and mainstay up", "dim"))
    return 0


def _save(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as fault:
        reason = (fault.strerror or "it cannot be written").lower()
        raise MainstayError(f"{path}: {reason}", hint="choose another place") from None


def local_timezone(root: Path = Path("/")) -> str:
    """Give this machine's time zone by name, UTC when it cannot be told."""
    link = root / "etc/localtime"
    try:
        if link.is_symlink():
            return str(link.resolve()).partition("/zoneinfo/")[2] or "UTC"
        return (root / "etc/timezone").read_text().strip() or "UTC"
    except OSError:
        return "UTC"
