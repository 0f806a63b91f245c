"""Which events were taken in already: those of the log are known here, older ones are found in the journal."""

from collections.abc import Collection, Mapping, Sequence

from mainstay.store.inbox import Arrival, Seen, Stored

MOST = 200_000
"""Events of the log that are known at most, about 100 MB: of more, copies are dropped on their way into the journal."""

Key = tuple[str, str]
"""A source, and what an event is known by there."""
Found = Mapping[Key, Seen]


class Known:
    """What the log holds that may not be in the journal yet, by what it is known by."""

    def __init__(self, most: int = MOST) -> None:
        self._seen: dict[Key, Seen] = {}
        self._most = most
        self._of: dict[str, list[Key]] = {}
        """The keys of each segment, the oldest segment first."""

    def __len__(self) -> int:
        return len(self._seen)

    def unknown(self, arrivals: Sequence[Arrival]) -> list[Key]:
        """Give what is to be looked up in the journal."""
        keys = [(one.source, one.key) for one in arrivals if one.key is not None]
        return [key for key in keys if key not in self._seen]

    def conflicting(self, arrivals: Sequence[Arrival], older: Found) -> list[Key]:
        """Give what is to be looked up besides: other bodies under a known id, which may be copies of each other."""
        wanted: list[Key] = []
        for one in arrivals:
            if one.key is not None:
                first = self._first((one.source, one.key), one, older, {})
                if first is not None and first.digest != one.digest:
                    wanted.append((one.source, other_key(one)))
        return wanted

    def judge(self, arrivals: Sequence[Arrival], older: Found) -> tuple[list[Stored], dict[Key, Seen]]:
        """Say which events are new, in their order, and what these are to be known by."""
        fresh: dict[Key, Seen] = {}
        return [self._judge(one, older, fresh) for one in arrivals], fresh

    def _judge(self, one: Arrival, older: Found, fresh: dict[Key, Seen]) -> Stored:
        if one.key is None:
            return Stored(one.id)
        key = (one.source, one.key)
        first = self._first(key, one, older, fresh)
        if first is None:
            fresh[key] = Seen(one.id, one.digest, one.received_at)
            return Stored(one.id)
        if first.digest == one.digest:
            return Stored(first.event, new=False)
        key = (one.source, other_key(one))
        copy = self._first(key, one, older, fresh)
        if copy is not None:
            return Stored(copy.event, new=False, conflict_of=first.event)
        fresh[key] = Seen(one.id, one.digest, one.received_at)
        return Stored(one.id, conflict_of=first.event)

    def _first(self, key: Key, one: Arrival, older: Found, fresh: Mapping[Key, Seen]) -> Seen | None:
        """Give the event that came before, within the window. The clock may have been set in between."""
        found = fresh.get(key) or self._seen.get(key) or older.get(key)
        if found is None or not one.received_at - one.window < found.at <= one.received_at + one.window:
            return None
        return found

    def learn(self, segment: str, fresh: Mapping[Key, Seen]) -> None:
        """Remember what a segment holds, as long as it is there and there is room."""
        self._seen.update(fresh)
        self._of.setdefault(segment, []).extend(fresh)
        while len(self._seen) > self._most and len(self._of) > 1:
            self._forget(next(iter(self._of)))

    def moved(self, old: str, new: str) -> None:
        """Note that what a segment holds lies in another one now."""
        if old in self._of:
            self._of.setdefault(new, []).extend(self._of.pop(old))

    def keep_only(self, segments: Collection[str]) -> None:
        """Forget what was in segments that are gone: it is in the journal."""
        for name in [name for name in self._of if name not in segments]:
            self._forget(name)

    def _forget(self, segment: str) -> None:
        for key in self._of.pop(segment):
            self._seen.pop(key, None)


def other_key(one: Arrival) -> str:
    """Give what an event is known by whose id another one had before."""
    return f"{one.key} body:{one.digest[:32]}"
