"""A provider that plays Slack, PagerDuty or any webhook receiver: it notes every request, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.process import LOOPBACK

PAGERDUTY = "/v2/enqueue"


@dataclass(frozen=True)
class Recorded:
    """One request. Header names are lower case, `at` is monotonic seconds, `status` is our answer, if any."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    status: int | None

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Answer:
    """Answer so, after `delay` seconds."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


class Hang:
    """Read the request and never answer."""


class Drop:
    """Read the request and close the connection without a word."""


Behaviour = Answer | Hang | Drop


@dataclass
class Rule:
    """What to do with the next `times` requests for `path`; None stands for every one."""

    behaviour: Behaviour
    times: int | None
    path: str | None

    def fits(self, path: str) -> bool:
        return self.times != 0 and self.path in (None, path.partition("?")[0])


def politely(path: str, body: bytes) -> Answer:
    """What the real providers answer when all is well."""
    if path.partition("?")[0] != PAGERDUTY:
        return Answer()
    key = None
    with contextlib.suppress(ValueError, AttributeError):
        key = json.loads(body).get("dedup_key")
    receipt = {"status": "success", "message": "Event processed", "dedup_key": key}
    return Answer(202, json.dumps(receipt).encode(), {"Content-Type": "application/json"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    recorder: Recorder

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """The recorder is the log."""

    def setup(self) -> None:
        super().setup()
        self.server.recorder.opened(self.connection)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.server.recorder.closed(self.connection)

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        behaviour = self.server.recorder.next_behaviour(self.path, body)
        answer = behaviour if isinstance(behaviour, Answer) else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = answer.status if answer else None
        self.server.recorder.record(
            Recorded(self.command, self.path, headers, body, time.monotonic(), status)
        )
        if answer is None:
            if isinstance(behaviour, Hang):
                self.server.recorder.released.wait()
            self.close_connection = True
            return
        if answer.delay and self.server.recorder.released.wait(answer.delay):
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve  # noqa: N815  # http.server's names


class Recorder:
    """Listens at once, on a free port. Behaviours apply in the order in which they were asked for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Recorded] = []
        self._rules: list[Rule] = []
        self._connections: set[socket.socket] = set()
        self.most_connections = 0
        self.port = 0
        self._server: _Server | None = None
        self.accept()

    @property
    def url(self) -> str:
        """The address, without a slash at the end; every path is served."""
        return f"http://{LOOPBACK}:{self.port}"

    # What was seen

    @property
    def requests(self) -> list[Recorded]:
        with self._changed:
            return list(self._requests)

    def to(self, path: str) -> list[Recorded]:
        """The requests for one path, whatever their query."""
        return [request for request in self.requests if request.path.partition("?")[0] == path]

    @property
    def accepted(self) -> list[Recorded]:
        """The requests which were answered with 2xx."""
        return [request for request in self.requests if request.accepted]

    def wait(self, count: int, deadline: float = 10.0, path: str | None = None) -> list[Recorded]:
        """The requests (for `path`) as soon as there are `count`; raises AssertionError after `deadline` seconds."""

        def seen() -> list[Recorded]:
            return [each for each in self._requests if path in (None, each.path.partition("?")[0])]

        with self._changed:
            if not self._changed.wait_for(lambda: len(seen()) >= count, deadline):
                raise AssertionError(
                    f"{len(seen())} requests in {deadline} s, {count} were expected: {seen()}"
                )
            return seen()

    def clear(self) -> None:
        """Forget every request and every behaviour."""
        with self._changed:
            self._requests.clear()
            self._rules.clear()

    # How to behave

    def behave(self, behaviour: Behaviour, times: int | None = None, path: str | None = None) -> None:
        """For the next `times` requests (for `path`); without `times` from now on, and all earlier rules end."""
        with self._changed:
            if times is None:
                self._rules = [rule for rule in self._rules if rule.path != path]
            self._rules.append(Rule(behaviour, times, path))

    def answer(
        self,
        status: int = 200,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        self.behave(Answer(status, body, headers or {}, delay), times, path)

    def hang(self, times: int | None = None, path: str | None = None) -> None:
        self.behave(Hang(), times, path)

    def drop(self, times: int | None = None, path: str | None = None) -> None:
        self.behave(Drop(), times, path)

    def refuse(self) -> None:
        """Stop listening and close every connection: the next one is refused. `accept` ends it."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        self.released.set()
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def accept(self) -> None:
        """Listen, on the same port as before, and be polite from now on."""
        with self._changed:
            self._rules.clear()
        if self._server is not None:
            return
        self.released = threading.Event()
        server = _Server((LOOPBACK, self.port), _Handler)
        server.recorder = self
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.01,), name="recorder", daemon=True).start()

    stop = refuse

    # For the handlers

    def next_behaviour(self, path: str, body: bytes) -> Behaviour:
        with self._changed:
            for rule in self._rules:
                if rule.fits(path):
                    rule.times = rule.times and rule.times - 1
                    return rule.behaviour
        return politely(path, body)

    def record(self, request: Recorded) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def opened(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.add(connection)
            self.most_connections = max(self.most_connections, len(self._connections))

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.discard(connection)
