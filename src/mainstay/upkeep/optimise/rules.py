"""From when on something counts as ill: options that people may change."""

from pydantic import Field

from mainstay.core.plugin import Settings
from mainstay.core.units import Duration, Size


class Thresholds(Settings):
    """From when on something is worth the work, or worth telling."""

    dead: float = Field(default=5.0, gt=0, le=100)
    """Percent of a table's rows that are dead, from which it is vacuumed. Autovacuum waits for 20."""
    changed: float = Field(default=5.0, gt=0)
    """Percent of a table's rows that changed since statistics were gathered, from which they are gathered again."""
    rows: int = Field(default=1000, ge=1)
    """Fewer dead or changed rows than this are left to autovacuum."""
    empty: float = Field(default=40.0, gt=0, lt=100)
    """Percent of an index that is empty, from which it is rebuilt; of a table, from which it is told."""
    smallest: Size = 8_000_000
    """Tables and indexes below this size are not looked at for emptiness, use or missing indexes."""
    largest: Size = 20_000_000_000
    """Larger indexes are left to people: a rebuild needs as much room again, and takes long."""
    freeze: int = Field(default=150_000_000, ge=1, le=1_500_000_000)
    """Age in transactions from which a table is frozen: before the server would do so at an hour of its own."""
    unused: Duration = 30 * 86400.0
    """After so long without a use that we saw, an index is called unused."""
    slow: Duration = 0.5
    """Queries that take longer on average are told."""
