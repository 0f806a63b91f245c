"""The demonstration's API: a small process in front of the ERP database, there to be watched and killed."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def _count_orders(dsn: str) -> int:
    import psycopg

    with psycopg.connect(dsn, connect_timeout=3) as connection:
        row = connection.execute("SELECT count(*) FROM sale_order WHERE state = 'sale'").fetchone()
    return int(row[0]) if row else 0


class Handler(BaseHTTPRequestHandler):
    """Answers `/health` and `/orders/open` with what the database says now."""

    def do_GET(self) -> None:
        try:
            document: dict[str, Any] = {"status": "ok", "open_orders": _count_orders(os.environ["ERP_DSN"])}
            status = 200
        except Exception as fault:
            document, status = {"status": "down", "error": type(fault).__name__}, 503
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the watch asks often."""


def main() -> None:
    """Serve on 127.0.0.1 and the port given as the only argument."""
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
