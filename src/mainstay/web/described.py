"""What a metric of the dashboard is called and means."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Described:
    """A metric's name, what it means and its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
