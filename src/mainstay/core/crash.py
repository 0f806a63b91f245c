"""Named places at which a test may kill the process, to prove that nothing is lost there."""

import os
import signal

_hits: dict[str, int] = {}


def point(name: str) -> None:
    """Die by SIGKILL here when `MAINSTAY_CRASH_AT` names this point.

    `MAINSTAY_CRASH_AT=backup.uploaded` kills at the first pass, `backup.uploaded@3` at the third.
    """
    wanted = os.environ.get("MAINSTAY_CRASH_AT")
    if not wanted:
        return
    wanted_name, _, count = wanted.partition("@")
    if wanted_name != name:
        return
    _hits[name] = _hits.get(name, 0) + 1
    if _hits[name] >= int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
