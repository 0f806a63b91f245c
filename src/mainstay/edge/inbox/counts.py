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
AWAY = Family("mainstay_inbox_journal_away", "1 while the journal does not answer the edge.", kind="gauge")

FAMILIES = (WEBHOOKS, UNSAVED, WRITES, TROUBLE, AWAY)


class Counts:
    """The inbox's numbers."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._outcomes: dict[tuple[str, str], Cell] = {}
        self.unsaved = meter.cell(UNSAVED)
        self.writes = meter.cell(WRITES)
        self.trouble = meter.cell(TROUBLE)
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
