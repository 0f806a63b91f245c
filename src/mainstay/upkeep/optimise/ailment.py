"""What is found to be ill, and what may be done about it: plain data that the journal keeps."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How grave an ailment is."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Ailment:
    """Something that is not well. `subject` is a table, an index, a query or a setting; `fix` is for people."""

    kind: str
    database: str
    subject: str
    words: str
    level: Level = Level.NOTE
    fix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """Figures behind it: bytes, ages in transactions, the planner's costs."""

    @property
    def key(self) -> str:
        """What stays the same from run to run."""
        return f"{self.database}/{self.kind}/{self.subject}"

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {**asdict(self), "level": str(self.level)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Ailment":
        """Take it back; what was added later is left out."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        return cls(**{**known, "level": Level(data["level"])})


class Work(StrEnum):
    """What is done, in the order in which it is done."""

    DROP = "drop"
    FREEZE = "freeze"
    VACUUM = "vacuum"
    ANALYZE = "analyze"
    REBUILD = "rebuild"


ORDER = list(Work)


@dataclass(frozen=True, slots=True)
class Deed:
    """One statement that would mend something. `target` is a name that is quoted and has its schema."""

    work: Work
    database: str
    target: str
    why: str
    oid: int
    bytes: int = 0
    """How large the target is."""

    @property
    def key(self) -> str:
        """Its place in the order of deeds, the same from run to run."""
        return f"{ORDER.index(self.work)}/{self.database}/{self.target}"

    @property
    def sql(self) -> str:
        """The statement. None of them keeps readers or writers out; vacuum gives no pages back, which would."""
        statements = {
            Work.DROP: f"DROP INDEX CONCURRENTLY IF EXISTS {self.target}",
            Work.FREEZE: f"VACUUM (FREEZE, SKIP_LOCKED, TRUNCATE false) {self.target}",
            Work.VACUUM: f"VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false) {self.target}",
            Work.ANALYZE: f"ANALYZE (SKIP_LOCKED) {self.target}",
            Work.REBUILD: f"REINDEX INDEX CONCURRENTLY {self.target}",
        }
        return statements[self.work]

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {**asdict(self), "work": str(self.work)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Deed":
        """Take it back."""
        return cls(**{**data, "work": Work(data["work"])})
