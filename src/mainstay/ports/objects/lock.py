"""Object lock: until a day nobody can delete or change a version of an object, whoever has the keys."""

from datetime import UTC, datetime, timedelta
from typing import Literal
from xml.etree import ElementTree

from pydantic import Field

from mainstay.core.plugin import Settings
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects.base import StorageError
from mainstay.ports.objects.uploads import Account, request

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Lock(Settings):
    """For how long nobody can delete what was stored. The bucket must have been made with object lock.

    Deleting an object, as retention does, then hides it: its versions go when their lock has ended, by a rule of the
    bucket for versions that are not current.
    """

    mode: Literal["compliance", "governance"] = "compliance"
    """`compliance` holds for everybody, the account's owner included; `governance` for all but a special right."""
    days: int = Field(ge=1, le=36_500)
    """For so many days from when it was stored."""


async def hold(account: Account, key: str, lock: Lock) -> None:
    """Lock the current version of an object. Raises `StorageError`."""
    until = datetime.fromtimestamp(SystemClock().now(), UTC) + timedelta(days=lock.days)
    body = (
        f'<Retention xmlns="{NAMESPACE}"><Mode>{lock.mode.upper()}</Mode>'
        f"<RetainUntilDate>{until:%Y-%m-%dT%H:%M:%SZ}</RetainUntilDate></Retention>"
    )
    answer = await request(account, "PUT", account.path(key), {"retention": ""}, body.encode())
    if "<Error>" in answer:
        raise StorageError(f"bucket {account.bucket}: {key} cannot be locked: {_code(answer)}", hint=WITHOUT)


WITHOUT = (
    "object lock can only be switched on where the bucket has versions, with most services when it is made"
)


async def lockable(account: Account) -> bool:
    """Whether the bucket has object lock. Raises `StorageError`."""
    answer = await request(account, "GET", account.path(), {"object-lock": ""})
    return "<ObjectLockEnabled>Enabled" in answer


def _code(answer: str) -> str:
    found = ElementTree.fromstring(answer).findtext("Code")  # noqa: S314  # our own service
    return found or "refused"
