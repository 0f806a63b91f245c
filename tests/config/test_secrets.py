"""Secrets come from files first, and the wrong kind of file is said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.config.secrets import Secrets


def test_the_service_manager_comes_first_then_the_file_then_the_variable(tmp_path: Path) -> None:
    handed = tmp_path / "handed"
    handed.mkdir()
    (handed / "dsn").write_text("from credentials\n")
    file = tmp_path / "file"
    file.write_text("from file\r\n")
    environ = {
        "CREDENTIALS_DIRECTORY": str(handed),
        "MAINSTAY_DSN_FILE": str(file),
        "MAINSTAY_DSN": "from variable\n",
    }
    assert Secrets(environ).find("dsn") == ("from credentials", str(handed / "dsn"))
    (handed / "dsn").unlink()
    assert Secrets(environ)("dsn") == "from file"
    del environ["MAINSTAY_DSN_FILE"]
    assert Secrets(environ).find("dsn") == ("from variable", "the variable MAINSTAY_DSN")


def test_only_line_ends_are_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("  two words \n\n")
    assert Secrets({"MAINSTAY_X_FILE": str(file)})("x") == "  two words "


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read from"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not text"),
        (b"x" * 65_000, "larger than"),
    ],
)
def test_a_file_that_holds_no_secret_is_a_fault_with_a_remedy(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LookupError, match=words) as caught:
        Secrets({"MAINSTAY_X_FILE": str(file), "MAINSTAY_X": "not asked"})("x")
    assert "; " in str(caught.value)


def test_an_empty_variable_and_no_variable_are_faults() -> None:
    with pytest.raises(LookupError, match="is empty; MAINSTAY_X is set to nothing"):
        Secrets({"MAINSTAY_X": ""})("x")
    with pytest.raises(
        LookupError, match=r"is missing; put it into .*, into the file named by MAINSTAY_X_FILE"
    ):
        Secrets({})("x")


def test_a_file_that_everybody_reads_is_warned_of_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("value")
    file.chmod(0o644)
    told: list[str] = []
    secrets = Secrets({"MAINSTAY_X_FILE": str(file)}, told.append)
    assert (secrets("x"), secrets("x")) == ("value", "value")
    assert told == [f"everybody on this machine can read secret x (hint: chmod 600 {file})"]
    file.chmod(0o600)
    Secrets({"MAINSTAY_X_FILE": str(file)}, told.append)("x")
    assert len(told) == 1


def test_a_place_that_may_not_even_be_looked_at_is_a_fault_with_a_remedy(tmp_path: Path) -> None:
    # The system refuses the look with an error, as it does in a directory of another account.
    with pytest.raises(LookupError, match=r"cannot be read from .*: file name too long"):
        Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)})("x" * 300)
