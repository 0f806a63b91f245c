"""An authority that speaks ACME: a real Pebble with its own name server, behind a proxy that adds what Pebble lacks.

Pebble 2.4 knows no ARI and answers no OCSP: the proxy offers `renewalInfo` when a test says a window, and a responder
answers by what Pebble's management says, signed with Pebble's own key.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp

from tests.servers.authority import Authority
from tests.servers.process import LOOPBACK, Engine, accepts, free_port, program, started

FRAMING = ("content-length", "transfer-encoding", "connection", "date")
Json = dict[str, Any]


@dataclass
class Window:
    """What the proxy answers when it is asked when to renew."""

    start: float
    end: float
    retry_after: str = "21600"
    why: str = ""


class Acme:
    """`directory` is what clients are told, `ca` the file to trust for it; HTTP-01 is asked on `http_port`."""

    def __init__(self, place: Path, *, validity: int = 90 * 86400) -> None:
        self.place = place
        self.authority = Authority(place)
        self.ca = self.authority.ca
        self.validity = validity
        self.window: Window | None = None
        self.asked: list[str] = []
        self.orders = 0
        self.refuse: tuple[int, Json] | None = None
        """Answers every order with this status and problem."""
        self.http_port = free_port()
        self._names = started(self._launch_names, lambda: accepts(self._manage_names))
        self._ocsp = _serve(self._ocsp_handler())
        self._pebble = started(self._launch_pebble, lambda: accepts(self._port))
        self._proxy = _serve(self._proxy_handler(), self._server_context())
        self.directory = f"https://localhost:{self._proxy.server_port}/dir"

    def _launch_names(self) -> Engine:
        self.dns, self._manage_names = free_port(), free_port()
        argv = [
            program("pebble-challtestsrv", "pebble"),
            *("-defaultIPv4", LOOPBACK, "-defaultIPv6", "", "-dns01", f"{LOOPBACK}:{self.dns}"),
            *(
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-management",
                f"{LOOPBACK}:{self._manage_names}",
            ),
        ]
        return Engine(argv, self.place / "names.log")

    def _launch_pebble(self) -> Engine:
        self._port, self._manage = free_port(), free_port()
        self._certificate, self._key = self.authority.issue()
        config = self.place / "pebble.json"
        settings = {
            "listenAddress": f"{LOOPBACK}:{self._port}",
            "managementListenAddress": f"{LOOPBACK}:{self._manage}",
            "certificate": str(self._certificate),
            "privateKey": str(self._key),
            "httpPort": self.http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": f"http://{LOOPBACK}:{self._ocsp.server_port}/",
            "certificateValidityPeriod": self.validity,
        }
        config.write_text(json.dumps({"pebble": settings}))
        argv = [program("pebble", "pebble"), "-config", str(config), "-dnsserver", f"{LOOPBACK}:{self.dns}"]
        env = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_AUTHZREUSE": "0",
            "PEBBLE_WFE_NONCEREJECT": "0",
        }
        return Engine(argv, self.place / "pebble.log", env=env)

    def _server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        return context

    # --- what tests do with it ---------------------------------------------------------------------------------

    def hook(self, verb: str, host: str) -> list[str]:
        """A command that sets or clears the TXT record of a DNS-01 challenge, for `dns: {command: ...}`."""
        value = ',\\"value\\":\\"$CERTBOT_VALIDATION\\"' if verb == "set-txt" else ""
        body = f'{{\\"host\\":\\"_acme-challenge.$CERTBOT_DOMAIN.\\"{value}}}'
        url = f"http://{LOOPBACK}:{self._manage_names}/{verb}"
        ask = f"import urllib.request, sys; urllib.request.urlopen('{url}', sys.argv[1].encode())"
        return ["sh", "-c", f'exec {host} -I -c "{ask}" "{body}"']

    def status(self, serial: str) -> str:
        """What Pebble thinks of a certificate: `Valid` or `Revoked`."""
        found: Json = json.loads(self._managed(f"/cert-status-by-serial/{serial}"))
        return str(found["Status"])

    def stop(self) -> None:
        for server in (self._proxy, self._ocsp):
            server.shutdown()
            server.server_close()
        self._pebble.stop()
        self._names.stop()

    # --- what it lacks -----------------------------------------------------------------------------------------

    def _managed(self, path: str) -> bytes:
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(f"https://localhost:{self._manage}{path}", context=context) as answer:
            content: bytes = answer.read()
        return content

    def _proxy_handler(self) -> type[BaseHTTPRequestHandler]:
        acme = self

        class Proxy(_Quiet):
            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                acme.asked.append(self.path)
                if self.path.startswith("/ari/") and acme.window is not None:
                    return self.reply(200, _told(acme.window), {"Retry-After": acme.window.retry_after})
                if self.path == "/order-plz":
                    acme.orders += 1
                    if acme.refuse is not None:
                        status, problem = acme.refuse
                        nonce = acme._nonce()
                        headers = {"Content-Type": "application/problem+json", "Replay-Nonce": nonce}
                        return self.reply(status, json.dumps(problem).encode(), headers)
                status, headers, content = acme._pass_on(self.command, self.path, self.headers, body)
                if self.path == "/dir" and acme.window is not None:
                    base = f"https://localhost:{acme._proxy.server_port}/ari"
                    content = json.dumps({**json.loads(content), "renewalInfo": base}).encode()
                return self.reply(status, content, headers)

        return Proxy

    def _nonce(self) -> str:
        host = {"Host": f"localhost:{self._proxy.server_port}"}
        return self._pass_on("HEAD", "/nonce-plz", host, b"")[1]["Replay-Nonce"]

    def _pass_on(
        self, method: str, path: str, headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask Pebble under the proxy's own name: it makes its addresses from the Host that it is asked for."""
        context = ssl.create_default_context(cafile=str(self.ca))
        link = http.client.HTTPSConnection("localhost", self._port, context=context, timeout=20)
        wanted = {
            name: value
            for name, value in headers.items()
            if name.lower() not in ("connection", "accept-encoding")
        }
        try:
            link.request(method, path, body or None, wanted)
            answer = link.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in FRAMING}
            return answer.status, kept, answer.read()
        finally:
            link.close()

    def _ocsp_handler(self) -> type[BaseHTTPRequestHandler]:
        acme = self

        class Responder(_Quiet):
            def handle_one(self) -> None:
                asked = ocsp.load_der_ocsp_request(self.rfile.read(int(self.headers["Content-Length"])))
                self.reply(200, acme._judged(asked), {"Content-Type": "application/ocsp-response"})

        return Responder

    def _judged(self, asked: ocsp.OCSPRequest) -> bytes:
        issuer = x509.load_pem_x509_certificate(self._managed("/intermediates/0"))
        key: Any = load_pem_private_key(self._managed("/intermediate-keys/0"), None)
        revoked = self.status(f"{asked.serial_number:x}") == "Revoked"
        now = datetime.now(UTC)
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            issuer_name_hash=asked.issuer_name_hash,
            issuer_key_hash=asked.issuer_key_hash,
            serial_number=asked.serial_number,
            algorithm=asked.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + timedelta(hours=1),
            revocation_time=now if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
        )
        built = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
        return built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def handle_one(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.handle_one()

    def do_POST(self) -> None:
        self.handle_one()

    def do_HEAD(self) -> None:
        self.handle_one()

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away


def _serve(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> _Server:
    server = _Server((LOOPBACK, 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), name="acme", daemon=True).start()
    return server


def _told(window: Window) -> bytes:
    def moment(at: float) -> str:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    told: Json = {"suggestedWindow": {"start": moment(window.start), "end": moment(window.end)}}
    return json.dumps({**told, **({"explanationURL": window.why} if window.why else {})}).encode()


def serve(make: Callable[[], Path]) -> Iterator[Acme]:
    """The life of an authority, for a fixture."""
    acme = Acme(make())
    try:
        yield acme
    finally:
        with suppress(OSError):
            acme.stop()
