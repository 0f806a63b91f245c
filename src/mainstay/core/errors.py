"""Faults that a person can do something about."""


class MainstayError(Exception):
    """An expected fault: what failed, where, and what to do next.

    It is shown as one line (with its hint), never as a traceback.
    """

    exit_code = 1

    def __init__(self, what: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} (hint: {self.hint})" if self.hint else text


class ConfigError(MainstayError):
    """The configuration or the command's usage is wrong: exit code 2."""

    exit_code = 2


class CouldNotFindOut(MainstayError):
    """The question could not be answered at all: exit code 3."""

    exit_code = 3


class JournalError(MainstayError):
    """The journal cannot be opened, is newer than this program, or refused a write."""

    exit_code = 3
