"""What a job is given to say what it would do: a look at the world, no step and no log."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from mainstay.ports.clock import Clock

T = TypeVar("T")


class Foresight:
    """A `core.job.Look`."""

    def __init__(self, clock: Clock, ports: Mapping[type, object], args: Mapping[str, Any]) -> None:
        self.args = args
        self._clock = clock
        self._ports = ports

    def now(self) -> float:
        """Wall time, seconds since 1970."""
        return self._clock.now()

    def get(self, port: type[T]) -> T:
        """Give the adapter for `port`. Raises LookupError when the composition root provides none."""
        try:
            return cast("T", self._ports[port])
        except KeyError:
            raise LookupError(f"nothing was provided for {port.__name__}") from None
