"""An S3 server: moto in a process of its own, with a bucket per test."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.servers.process import LOOPBACK, Engine, free_port, started

# moto looks whether a request is signed and by whom, not whether the signature is right.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "Content-Type": "application/octet-stream",
}
XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class S3Server:
    """`endpoint` with any credentials; path-style addresses."""

    region = "us-east-1"
    access_key = "testing"
    secret_key = "testing"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.names = itertools.count(1)
        self.start()

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start it, the first time on a free port. It forgets everything when it stops."""
        keep = self.port
        quiet = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

        def launch() -> Engine:
            self.port = keep or free_port()
            argv = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]
            return Engine(argv, self.directory / "s3.log", env=quiet)

        self.engine = started(launch, self.answers)

    def answers(self) -> bool:
        return bool(self.request("GET", "/moto-api/"))

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.endpoint + path, data=body, method=method, headers=SIGNED)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def bucket(self) -> Bucket:
        """A new, empty bucket."""
        bucket = Bucket(self, f"bucket-{next(self.names)}")
        self.request("PUT", f"/{bucket.name}")
        return bucket

    def kill(self) -> None:
        self.engine.kill()

    def stop(self) -> None:
        self.engine.stop()


@dataclass(frozen=True)
class Bucket:
    """A bucket as seen by a stranger: what is really stored, and a way to damage it."""

    server: S3Server
    name: str

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    def _path(self, key: str) -> str:
        return f"/{self.name}/{urllib.parse.quote(key)}"

    def put(self, key: str, body: bytes) -> None:
        self.server.request("PUT", self._path(key), body)

    def get(self, key: str) -> bytes:
        return self.server.request("GET", self._path(key))

    def delete(self, key: str) -> None:
        self.server.request("DELETE", self._path(key))

    def keys(self, prefix: str = "") -> list[str]:
        """The names of all objects, sorted (1,000 at most)."""
        query = urllib.parse.urlencode({"list-type": "2", "prefix": prefix})
        tree = ElementTree.fromstring(self.server.request("GET", f"/{self.name}?{query}"))  # noqa: S314  # our own server
        return sorted(node.text or "" for node in tree.iter(f"{XMLNS}Key"))

    def uploads(self) -> list[str]:
        """The keys of multipart uploads which were begun and neither finished nor aborted."""
        tree = ElementTree.fromstring(self.server.request("GET", f"/{self.name}?uploads"))  # noqa: S314  # our own server
        return sorted(
            node.text or "" for upload in tree.iter(f"{XMLNS}Upload") for node in upload.iter(f"{XMLNS}Key")
        )


def serve() -> Iterator[S3Server]:
    """The life of a server, for a fixture."""
    with tempfile.TemporaryDirectory(prefix="mainstay-s3-") as directory:
        server = S3Server(Path(directory))
        try:
            yield server
        finally:
            server.stop()
