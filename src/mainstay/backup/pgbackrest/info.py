"""What `pgbackrest info --output=json` says of a stanza."""

from dataclasses import dataclass
from typing import Any

from mainstay.core.errors import MainstayError


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup: times in seconds since 1970 by the server's machine, sizes in bytes, positions as names of segments."""

    label: str
    type: str
    begun_at: float
    taken_at: float
    bytes: int
    raw_bytes: int
    first: str
    last: str
    damaged: bool


@dataclass(frozen=True, slots=True)
class Info:
    """A stanza: its backups, the oldest first; the newest segment in its archive; what it says is wrong."""

    stanza: str
    backups: tuple[Taken, ...]
    newest: str | None
    wrong: str | None
    major: int
    system: str

    def since_full(self) -> int | None:
        """How many backups there are since the last full one; None when there is none."""
        types = [each.type for each in reversed(self.backups)]
        return types.index("full") if "full" in types else None

    def before(self, at: float | None) -> Taken | None:
        """The newest backup from which a moment can be reached; the newest of all for None."""
        fit = [each for each in self.backups if not each.damaged and (at is None or each.taken_at <= at)]
        return fit[-1] if fit else None


def read_info(found: list[dict[str, Any]], stanza: str) -> Info:
    """Read it. Raises `MainstayError` when the stanza is not there."""
    one = next((each for each in found if each.get("name") == stanza), None)
    if one is None or not one.get("db"):
        said = one["status"]["message"] if one else "it is not in the repository"
        raise MainstayError(
            f"pgbackrest has no stanza {stanza}: {said}", hint=f"pgbackrest --stanza={stanza} stanza-create"
        )
    database = max(one["db"], key=lambda each: each["id"])
    archives = [each for each in one["archive"] if each["database"]["id"] == database["id"]]
    newest = max((each["max"] for each in archives if each["max"]), default=None)
    status = one["status"]
    backups = [_taken(each) for each in one["backup"] if each["database"]["id"] == database["id"]]
    return Info(
        stanza,
        tuple(sorted(backups, key=lambda each: each.taken_at)),
        newest,
        status["message"] if status["code"] else None,
        int(str(database["version"]).split(".")[0]),
        str(database["system-id"]),
    )


def _taken(each: dict[str, Any]) -> Taken:
    size = each["info"]
    stored = size["repository"].get("delta") or size["repository"].get("size") or 0
    return Taken(
        each["label"],
        each["type"],
        float(each["timestamp"]["start"]),
        float(each["timestamp"]["stop"]),
        int(stored),
        int(size["size"]),
        each["archive"]["start"],
        each["archive"]["stop"],
        bool(each.get("error")),
    )
