"""The demonstration's bookkeeper: takes webhooks, does each of them once, and is there to be killed meanwhile."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Ledger:
    """What was done, by idempotency key, in a file: a line is written to disk before its event counts as taken."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._done = set(read(path)) if path.exists() else set()
        self._file = path.open("a")

    def do(self, key: str) -> bool:
        """Do what a key stands for, unless it was done; true when it was done just now."""
        with self._lock:
            if key in self._done:
                return False
            self._file.write(f"{key}\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._done.add(key)
            return True


def read(path: Path) -> list[str]:
    """Give the keys of all that was done, in order."""
    return path.read_text().split() if path.exists() else []


def _handler(ledger: Ledger) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({"status": "ok"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer({"new": ledger.do(self.headers["Idempotency-Key"])})

        def _answer(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet: the ledger is what counts."""

    return Handler


def main() -> None:
    """Serve on 127.0.0.1 and the port given first, with the ledger in the file given second."""
    ledger = Ledger(Path(sys.argv[2]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _handler(ledger)).serve_forever()


if __name__ == "__main__":
    main()
