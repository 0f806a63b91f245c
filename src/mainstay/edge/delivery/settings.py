"""How a source's events are delivered: the part of `webhooks:` that the courier reads."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from mainstay.core.plugin import Settings, Tagged
from mainstay.core.secret import SecretUrl, redact
from mainstay.core.units import Duration
from mainstay.edge.delivery.repair import Repair
from mainstay.edge.delivery.targets import Target

DAY = 86400.0
STANDARD = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""The pauses that Standard Webhooks recommends: ten attempts over three days."""
_HOST = re.compile(
    r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5}(?:/\S*)?|/\S*)"
    r"|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+"
)
"""HOST:PORT, HOST/PATH or a name with a dot: an address that does not say how it is spoken to."""
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def _by_address(value: Any) -> Any:
    """An address alone is an HTTP target; a secret alone is the address of one."""
    bare = isinstance(value, str) and "://" in value
    if isinstance(value, str) and not bare and _HOST.fullmatch(value):
        raise ValueError(
            f"{redact(value)!r} does not say how; write http:// before it: http://{redact(value)}"
        )
    secret = isinstance(value, dict) and set(value) == {"secret"}
    return {"http": {"url": value}} if bare or secret else value


def _per_second(value: Any) -> Any:
    if isinstance(value, float):
        return value
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(s|min|h)\s*", value) if isinstance(value, str) else None
    if found is None or int(found[1]) == 0:
        raise ValueError(f"{value!r} is not a rate; write it like 10/s, 100/min or 500/h")
    return int(found[1]) / _UNITS[found[2]]


_Typed = Annotated[Target, Tagged(Target)]
DeliverTo = Annotated[
    Target, Tagged(Target), BeforeValidator(_by_address, json_schema_input_type=_Typed | SecretUrl)
]
"""A target: its address alone, or `{TYPE: options}`."""
Rate = Annotated[
    float,
    BeforeValidator(_per_second),
    WithJsonSchema({"type": "string", "description": "a rate", "examples": ["10/s", "100/min"]}),
]
"""Events per second, written `10/s`, `100/min` or `500/h`."""


class RetrySettings(Settings):
    """When an event that was not taken is brought again."""

    delays: list[Duration] = Field(default=list(STANDARD), min_length=0, max_length=100)
    """The pauses between attempts. Each is drawn anew between nothing and twice as long, so that events which failed
    together do not come back together. After the last one the event is a dead letter; an empty list tries once."""
    longest_wish: Duration = DAY
    """A target's Retry-After is obeyed up to here."""


class BreakerSettings(Settings):
    """When a target is left alone because it takes nothing. What waits meanwhile uses up none of its attempts."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """So many failures in a row, by the target's own fault (no answer, 5xx, 429), and it is left alone."""
    pause: Duration = 1.0
    """How long, before one event is sent to see whether it is well again; twice as long after each failed look."""
    longest_pause: Duration = 60.0
    """The longest such pause."""


class DeliverySettings(Settings):
    """Where a source's events are brought, how fast and how stubbornly."""

    deliver_to: DeliverTo | None = None
    """Who takes the events: an address, `{command: [...]}`, `{entry_point: MODULE:FUNCTION}` or `{http: {...}}`.
    Without one they are kept, and can be looked at; `mainstay inbox replay` brings them once there is one."""
    retry: RetrySettings = Field(default_factory=RetrySettings)
    """When, and how often, an event that was not taken is brought again."""
    breaker: BreakerSettings = Field(default_factory=BreakerSettings)
    """When a target that takes nothing is left alone for a while."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 16
    """How many attempts may be under way at a time."""
    rate: Rate | None = None
    """How often an attempt may begin: `10/s`, `100/min`; as fast as the target takes them when left out."""
    repair: Annotated[Repair, Tagged(Repair)] | None = None
    """How the sender is asked what it sent while nobody was there, and whether that is done by itself:
    `{github: {hook: repos/acme/shop/hooks/1, token: {secret: github_token}, auto: true}}`."""
    keep: Duration = 30 * DAY
    """How long events are kept that were delivered, or that nobody is to be brought, with their bodies and attempts."""
    keep_dead: Duration | None = None
    """How long dead letters are kept; for ever when left out. What still waits is always kept."""
