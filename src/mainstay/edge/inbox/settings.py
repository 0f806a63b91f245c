"""How a source's webhooks are taken in: the part of `webhooks:` that the intake reads."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from mainstay.core.plugin import Settings, Tagged
from mainstay.core.secret import Secret
from mainstay.core.units import Duration, Size
from mainstay.edge.schemes.base import Scheme
from mainstay.edge.schemes.hmac import HmacScheme
from mainstay.edge.schemes.networks import Network
from mainstay.store.inbox import QUEUED

DAY = 86400.0
LARGEST_BODY = 32 * 2**20
"""Half of what may wait for the disk: a larger one might be told for ever to come again."""
_ORDER = re.compile(r"all|header:[A-Za-z0-9-]{1,64}|body:[^\s.:]+(\.[^\s.:]+)*")


def _check_order(text: str) -> str:
    if not _ORDER.fullmatch(text):
        raise ValueError(f"{text!r} is not an order key; write all, header:X-Customer or body:data.customer")
    return text


OrderBy = Annotated[
    str,
    AfterValidator(_check_order),
    WithJsonSchema(
        {"type": "string", "description": "an order key", "examples": ["all", "body:data.customer"]}
    ),
]
"""`all`, `header:NAME` or `body:PATH.TO.VALUE`."""


class IntakeSettings(Settings):
    """Who may send, how that is proven, and what makes two webhooks one."""

    scheme: Annotated[Scheme, Tagged(Scheme)] = Field(default_factory=HmacScheme)
    """How the sender proves that a request is from it; base64 of HMAC-SHA256 in `X-Webhook-Signature` when left out."""
    secrets: list[Secret] = []
    """What is shared with the sender. Any of them is good: while one takes another's place, name both."""
    allow_from: list[Network] = []
    """Addresses and networks that requests are let in from, such as `192.0.2.0/24`; from anywhere when left out."""
    dedup: Duration = 3 * DAY
    """For how long a second copy is known as one: it is answered with the id of the first, and not kept. 0 is never."""
    dedup_by: Literal["id", "body"] = "id"
    """What makes two alike: the sender's id (or the body, where the scheme finds none), or the body whatever the id."""
    order_by: OrderBy | None = None
    """Events with the same value here are delivered in the order in which they came: `all` for every event of this
    source, `header:NAME`, or `body:PATH` for a value inside of a JSON body, such as `body:data.customer`."""
    check_json: bool = True
    """Whether a body that says it is JSON (Content-Type) and is not is refused with 400."""
    max_body: Annotated[Size, Field(le=LARGEST_BODY)] = 5 * 2**20
    """The largest body; a larger one is refused with 413. At most 32 MiB: bodies wait in memory for the disk."""
    url: str | None = Field(
        default=None, pattern=r"^https?://[^\s?#]+$", examples=["https://hooks.example.com/sms"]
    )
    """The address as the sender knows it, for schemes that sign it; made of the request's Host when left out."""

    @property
    def first_state(self) -> str:
        """What is said of an event when it is put down."""
        return QUEUED

    def order_key(self, headers: Any, inside: Any) -> str | None:
        """Give an event's order key, 200 characters at most. `headers` gives values by name, `inside` by path."""
        if self.order_by is None:
            return None
        place, _, name = self.order_by.partition(":")
        if place == "all":
            return "all"
        found = headers.get(name) if place == "header" else inside(*name.split("."))
        if not isinstance(found, str | int | float):
            return None
        return str(found)[:200].replace("\0", "\ufffd")  # PostgreSQL keeps no NUL
