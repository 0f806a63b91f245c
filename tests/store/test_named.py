"""Named queries are found, and translated without harming strings, casts and comments."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.store.named import QUERIES, Query, parse, plain, query, together, translate
from mainstay.store.sqlite_link import connect

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
TEXT = st.text(st.sampled_from("abc :%?'\"$-/*\n\\1(),="), max_size=12)


def kept(text: str) -> tuple[str, str, None]:
    return text, text.replace("%", "%%"), None


def quoted(mark: str) -> st.SearchStrategy[tuple[str, str, None]]:
    return TEXT.map(lambda text: kept(f" {mark}{text.replace(mark, mark * 2)}{mark} "))


# A statement in pieces: what is written, what PostgreSQL is to get, and the parameter's name if it is one.
PIECES = st.one_of(
    NAMES.map(lambda name: (f" :{name} ", f" %({name})s ", name)),
    NAMES.map(lambda name: kept(f" a::{name} ")),
    quoted("'"),
    quoted('"'),
    TEXT.map(lambda text: kept(f" -- {text.replace(chr(10), ' ')}\n")),
    TEXT.map(lambda text: kept(f" /* {text.replace('*', '+').replace('/', '|')} /* : */ :b */ ")),
    TEXT.map(lambda text: kept(f" $q${text.replace('$', '')}:x$q$ ")),
    TEXT.map(lambda text: kept(" E'" + text.replace("\\", "").replace("'", "\\'") + ":x' ")),
    st.sampled_from([" a % b ", " a = 1 ", " x[1:2] ", " {} ", " a:: "]).map(kept),
)


@given(st.lists(PIECES, max_size=12))
def test_only_parameters_are_translated(pieces: list[tuple[str, str, str | None]]) -> None:
    written = "".join(piece[0] for piece in pieces)
    names = frozenset(piece[2] for piece in pieces if piece[2] is not None)
    assert translate(written, "postgres") == ("".join(piece[1] for piece in pieces), names)
    assert translate(written, "sqlite") == (written, names)


@given(st.text(), st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_sqlite_gives_back_what_stands_in_strings(value: str, inside: str) -> None:
    text, names = translate("SELECT '" + inside.replace("'", "''") + "' AS a, :b AS b -- :c", "sqlite")
    assert names == {"b"}
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute(text, {"b": plain(value)}).fetchone() == (inside, plain(value))


@given(st.text())
def test_every_text_can_be_kept(text: str) -> None:
    plain(text).encode("utf-8")
    assert "\x00" not in plain(text)
    if "\x00" not in text and text.isprintable():
        assert plain(text) == text


def test_a_comment_without_end_swallows_the_rest() -> None:
    assert translate("SELECT 1 /* :a", "postgres") == ("SELECT 1 /* :a", frozenset())
    assert translate("SELECT $$ :a", "postgres") == ("SELECT $$ :a", frozenset())


def test_a_dialect_may_have_a_text_of_its_own() -> None:
    source = "-- name: a\n-- Says one.\nSELECT 1;\n\n-- name: a (postgres)\n-- Says two.\nSELECT 2;\n"
    assert parse(source) == {"a": {"": ("Says one.", "SELECT 1"), "postgres": ("Says two.", "SELECT 2")}}
    with pytest.raises(ValueError, match="stands twice"):
        parse(source + source)


def test_texts_of_one_query_take_the_same_parameters() -> None:
    """A column that was added to one of them only would be lost without a word."""
    for file in QUERIES.glob("*.sql"):
        for name, texts in parse(file.read_text()).items():
            if "postgres together" in texts:
                single, many = texts.get("postgres") or texts[""], texts["postgres together"]
                assert translate(single[1], "sqlite")[1] == translate(many[1], "sqlite")[1], name
    whole = together("inbox.put")
    assert whole is not None
    assert "unnest" in whole.text
    assert together("meta.put") is None


def test_what_is_missing_is_named() -> None:
    with pytest.raises(LookupError, match=r"store/queries/nobody\.sql"):
        query("nobody.knows", "sqlite")
    with pytest.raises(LookupError, match=r"there is no query meta\.nothing"):
        query("meta.nothing", "sqlite")


def test_rows_go_in_by_number_like_by_name() -> None:
    made = Query("a", "SELECT :b || ':x' || :a || :b -- :c", "", frozenset("ab"))
    text, order = made.numbered()
    assert (text, order) == ("SELECT ?2 || ':x' || ?1 || ?2 -- :c", ("a", "b"))
    rows = [{"a": "\ud800\x00", "b": True, "c": 1}, {"a": b"\x00", "b": 1.5}]
    assert made.ordered(rows, order) == [("?\ufffd", 1), (b"\x00", 1.5)]
    with pytest.raises(TypeError, match="a needs b"):
        made.ordered([{"a": 1}], order)
    one = Query("a", "SELECT :a", "", frozenset("a"))
    assert one.ordered([{"a": "ä"}], one.numbered()[1]) == [("ä",)]


FILES = sorted(path.stem for path in QUERIES.glob("*.sql"))


@pytest.mark.parametrize("file", FILES)
def test_every_query_says_what_it_is_and_stands_in_both_dialects(file: str) -> None:
    for name, texts in parse((QUERIES / f"{file}.sql").read_text("utf-8")).items():
        for about, text in texts.values():
            assert about.endswith((".", "?")), f"{file}.{name} needs a description"
            assert text, f"{file}.{name} is empty"
        for dialect in ("sqlite", "postgres"):
            assert query(f"{file}.{name}", dialect).about


@pytest.mark.parametrize("file", FILES)
def test_every_query_is_understood_by_sqlite(file: str, migrated: sqlite3.Connection) -> None:
    for name in parse((QUERIES / f"{file}.sql").read_text("utf-8")):
        found = query(f"{file}.{name}", "sqlite")
        migrated.execute(f"EXPLAIN {found.text}", dict.fromkeys(found.params))


@pytest.fixture
def migrated(tmp_path):  # type: ignore[no-untyped-def]
    from mainstay.store.sqlite_file import prepare

    prepare(tmp_path / "journal.db")
    with closing(connect(tmp_path / "journal.db")) as connection:
        yield connection
