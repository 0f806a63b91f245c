"""Faults as people see them: one line and a hint, never a traceback unless asked for."""

import os
import sys
from pathlib import Path

from mainstay.cli.output import Output
from mainstay.core.errors import MainstayError


def show(out: Output, fault: MainstayError) -> int:
    """Say what failed and what to do; give the exit code."""
    for line in str(fault).split("\n"):
        out.note(("mainstay: ", "alarm"), line)
    return fault.exit_code


def unexpected(out: Output, fault: BaseException, *, debug: bool) -> int:
    """Say that this is a fault of mainstay's own, and where the details are."""
    import traceback

    from mainstay.core.secret import redact

    details = redact("".join(traceback.format_exception(fault)))
    first = redact(f"{type(fault).__name__}: {fault}".split("\n")[0])
    if debug:
        out.note(details.rstrip())
    else:
        kept = _keep(details)
        where = f"details are in {kept}; " if kept else ""
        hint = f"{where}--debug shows them; please report them"
        out.note(("mainstay: ", "alarm"), f"something unexpected went wrong: {first} (hint: {hint})")
    return 3


def _keep(details: str) -> Path | None:
    import tempfile

    try:
        handle, name = tempfile.mkstemp(prefix="mainstay-fault-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{' '.join(sys.argv)}\nPython {sys.version}\n\n{details}")
        return Path(name)
    except OSError:
        return None
