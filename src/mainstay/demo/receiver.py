"""Plays Slack and PagerDuty on loopback: answers as they do and keeps a ledger of what arrived and when."""

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One request: when it arrived (seconds since 1970), on which path, with what JSON."""

    at: float
    path: str
    body: dict[str, Any]

    @property
    def channel(self) -> str:
        return "pagerduty" if self.path.startswith("/v2/enqueue") else "slack"


class Receiver:
    """A local HTTP server with a ledger."""

    def __init__(self) -> None:
        self.ledger: list[Received] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.ledger))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(ledger: list[Received]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            received = Received(time.time(), self.path, json.loads(raw or b"{}"))
            ledger.append(received)
            pager = received.channel == "pagerduty"
            answer = (
                json.dumps({"status": "success", "dedup_key": received.body.get("dedup_key")})
                if pager
                else "ok"
            )
            self.send_response(202 if pager else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet: the ledger is what counts."""

    return Handler
