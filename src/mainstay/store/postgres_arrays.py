"""Columns of many rows as PostgreSQL takes them in one go: binary arrays, packed quicker than the driver does it."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL = b"\xff\xff\xff\xff"
_size = struct.Struct("!i").pack
_head = struct.Struct("!iiIii").pack
_whole = struct.Struct("!iq").pack
_real = struct.Struct("!id").pack


class Column:
    """The values of one parameter, one for each row: texts, bytes, whole or other numbers, or None."""

    __slots__ = ("packed",)

    def __init__(self, packed: bytes) -> None:
        self.packed = packed


class Texts(Column):
    """TEXT[], and what holds nothing but None."""


class Blobs(Column):
    """BYTEA[]."""


class Wholes(Column):
    """BIGINT[]."""


class Reals(Column):
    """DOUBLE PRECISION[]."""


def _text(value: str) -> bytes:
    data = value.encode()
    return _size(len(data)) + data


def _blob(value: bytes) -> bytes:
    return _size(len(value)) + value


_KINDS: Mapping[type, tuple[type[Column], int, Callable[[Any], bytes]]] = {
    str: (Texts, 25, _text),
    bytes: (Blobs, 17, _blob),
    int: (Wholes, 20, lambda value: _whole(8, value)),
    float: (Reals, 701, lambda value: _real(8, value)),
}
_ARRAYS = {Texts: 1009, Blobs: 1001, Wholes: 1016, Reals: 1022}


def column(values: Sequence[Any]) -> Column:
    """Pack values of one type; whole numbers among others become others. Raises `TypeError` for other mixtures."""
    types = {type(value) for value in values} - {type(None)}
    if types == {int, float}:
        types = {float}
    if len(types) > 1 or not types <= _KINDS.keys():
        raise TypeError(f"a column cannot hold {', '.join(sorted(each.__name__ for each in types))}")
    made, oid, pack = _KINDS[types.pop() if types else str]
    cells = [_NULL if value is None else pack(value) for value in values]
    return made(_head(1, 1, oid, len(values), 1) + b"".join(cells))


class _Packed(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj.packed


def register(connection: "psycopg.BaseConnection[Any]") -> None:
    """Let a connection take columns as parameters."""
    for kind, oid in _ARRAYS.items():
        dumper = type(f"Packed{kind.__name__}", (_Packed,), {"oid": oid})
        connection.adapters.register_dumper(kind, dumper)
