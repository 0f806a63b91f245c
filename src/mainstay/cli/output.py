"""Where words go: results to standard output, everything else to standard error; colour only for people."""

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
    "alarm": "1;31",
    "title": "1;36",
}

HARMLESS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
"""Characters that a terminal obeys, and how they are shown: what strangers sent must not move anybody's cursor."""

Text = tuple[str, str]
"""A text and the name of its style; an empty style is plain."""

_ASCII = str.maketrans(
    {"●": "o", "✖": "x", "▲": "!", "○": "-", "…": "...", "·": "-", "→": ">", "█": "#", "░": "."}
)


class Output:
    """The two streams of a command."""

    def __init__(
        self,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        *,
        json: bool = False,
        color: bool | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.stdout = stdout or sys.stdout
        self.stderr = stderr or sys.stderr
        self.json = json
        self.color = _wants(self.stdout, color, environ)
        self.err_color = _wants(self.stderr, color, environ)
        self.unicode = (getattr(self.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"

    @property
    def live(self) -> bool:
        """Whether progress may be drawn: standard error is a terminal."""
        return self.stderr.isatty()

    @property
    def width(self) -> int | None:
        """The width of the terminal; None when a program reads and lines may be as long as they like."""
        if not self.stdout.isatty():
            return None
        try:
            return max(60, os.get_terminal_size(self.stdout.fileno()).columns)
        except (OSError, ValueError):
            return 80

    def print(self, *parts: str | Text) -> None:
        """Write one line of the result."""
        self.stdout.write(self.paint(*parts) + "\n")

    def paint(self, *parts: str | Text) -> str:
        """Join texts, styled if people read."""
        text = "".join(_styled(part, self.color) for part in parts)
        return text if self.unicode else text.translate(_ASCII)

    def data(self, document: Any) -> None:
        """Write the result for programs."""
        import json

        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")

    def note(self, *parts: str | Text) -> None:
        """Say something that is not the result: a warning, a remark."""
        text = "".join(_styled(part, self.err_color) for part in parts)
        self.stderr.write((text if self.unicode else text.translate(_ASCII)) + "\n")
        self.stderr.flush()


def _wants(stream: TextIO, color: bool | None, environ: Mapping[str, str]) -> bool:
    if color is not None:
        return color
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (stream.isatty() and environ.get("TERM") != "dumb")


def harmless(text: str) -> str:
    """Show what a terminal would obey, instead of having it obeyed; line ends and tabs stay."""
    return text.replace("\r\n", "\n").translate(HARMLESS)


def _styled(part: str | Text, color: bool) -> str:
    if isinstance(part, str):
        return part
    text, style = part
    code = STYLES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if color and code and text else text
