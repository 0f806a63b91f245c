"""Logs of the long-running processes: one line each, secrets masked, to standard error."""

import json
import logging
import os
import sys

from mainstay.core.secret import redact


class Lines(logging.Formatter):
    """`2026-01-31T02:00:00 agent WARNING words`; secrets are masked, also in tracebacks."""

    def __init__(self, part: str) -> None:
        super().__init__(f"%(asctime)s {part} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line, for collectors: `MAINSTAY_LOG=json`."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": round(record.created, 3),
            "part": self.part,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, ensure_ascii=False))


def to_stderr(part: str) -> None:
    """Send the log of this process to standard error, in the form that `MAINSTAY_LOG` asks for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(part) if os.environ.get("MAINSTAY_LOG") == "json" else Lines(part))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
