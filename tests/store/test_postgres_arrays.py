"""Columns arrive as they were, whatever stands in them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay.store.postgres_arrays import column, register
from tests.servers.postgres import PostgresServer

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
COLUMNS = st.one_of(
    st.tuples(st.just("TEXT[]"), st.lists(st.none() | TEXT, min_size=1)),
    st.tuples(st.just("BYTEA[]"), st.lists(st.none() | st.binary(max_size=20), min_size=1)),
    st.tuples(st.just("BIGINT[]"), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1)),
    st.tuples(
        st.just("DOUBLE PRECISION[]"),
        st.lists(st.none() | st.floats(allow_nan=False) | st.integers(-(2**50), 2**50), min_size=1),
    ),
)


@given(given=COLUMNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_a_column_is_what_it_was(postgres: PostgresServer, given: tuple[str, list[Any]]) -> None:
    kind, values = given
    with postgres.connect() as connection:
        register(connection)
        found = connection.execute(f"SELECT CAST(%s AS {kind})".encode(), [column(values)]).fetchone()
    assert found == (values,)


def test_a_column_has_one_type() -> None:
    for values in (["a", 1], [b"", ""], [object()], [True]):
        with pytest.raises(TypeError, match="a column cannot hold"):
            column(values)


def test_an_empty_column_is_of_any_type(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        register(connection)
        assert isinstance(connection, psycopg.Connection)
        for kind in ("TEXT[]", "BYTEA[]", "BIGINT[]", "DOUBLE PRECISION[]"):
            found = connection.execute(
                f"SELECT CAST(%s AS {kind})".encode(), [column([None, None])]
            ).fetchone()
            assert found == ([None, None],)
