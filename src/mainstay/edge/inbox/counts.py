"""What the inbox counts, for `/metrics`."""

from mainstay.edge.http.meter import Cell, Family, Meter

WEBHOOKS = Family(
    "mainstay_inbox_webhooks",
    "Webhooks by source and outcome: queued and copy are on disk; busy was told to come again.",
    ("source", "outcome"),
)
UNSAVED = Family("mainstay_inbox_unsaved", "Webhooks that wait for the disk.", kind="gauge")
WRITES = Family("mainstay_inbox_writes", "Writes that put webhooks on disk, each of them many.")
TROUBLE = Family(
    "mainstay_inbox_trouble",
    "1 while nothing can be kept and all is answered with 503.",
    kind="gauge",
)
SPOOLED = Family("mainstay_inbox_spooled", "Webhooks that the spool took while the journal was away.")
AWAY = Family("mainstay_inbox_spooling", "1 while the spool stands in for the journal.", kind="gauge")

FAMILIES = (WEBHOOKS, UNSAVED, WRITES, TROUBLE, SPOOLED, AWAY)


class Counts:
    """The inbox's numbers."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._outcomes: dict[tuple[str, str], Cell] = {}
        self.unsaved = meter.cell(UNSAVED)
        self.writes = meter.cell(WRITES)
        self.trouble = meter.cell(TROUBLE)
        self.spooled = meter.cell(SPOOLED)
        self.away = meter.cell(AWAY)

    def outcome(self, source: str, outcome: str) -> None:
        """Count an answer. `source` is one that is configured, or empty."""
        cell = self._outcomes.get((source, outcome))
        if cell is None:
            cell = self._outcomes[source, outcome] = self._meter.cell(WEBHOOKS, source, outcome)
        cell.add()

    def count(self, source: str, outcome: str) -> int:
        """Give how many there were."""
        return int(self._meter.cell(WEBHOOKS, source, outcome).value)
