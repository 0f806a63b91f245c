"""The options under `readiness:`."""

from typing import Annotated

from pydantic import Field, StringConstraints

from mainstay.core.plugin import Settings
from mainstay.core.units import Duration

Note = Annotated[
    str,
    StringConstraints(min_length=10, max_length=300, strip_whitespace=True),
    Field(description="who or what does it, and where, so that somebody else can go and look"),
]


class ReadinessSettings(Settings):
    """What the scorecard should know that it cannot see in the journal."""

    covered: dict[str, Note] = {}
    """Rows that something else takes care of, each with a note: `renew_ssl: certbot timer on web1`.

    Such a row counts as configured, never as running or proven: nobody has measured it.
    """
    proof_age: Duration = 8 * 86400.0
    """How old the last proof of a backup may be before it counts no more."""
    machine_time: Duration = 7200.0
    """How long all jobs together may be at work within a week."""
