"""A name server that answers some names, denies some, and lets others wait for ever; and a client to ask it."""

from __future__ import annotations

import socket
import struct
import threading

from mainstay.core.check import ResolveError
from mainstay.ports.resolver import Lookup
from tests.servers.process import LOOPBACK

HEADER = struct.Struct("!HHHHHH")
NXDOMAIN = 3
SERVFAIL = 2
A = 1


def _name(packet: bytes) -> tuple[str, int]:
    """The name that is asked for, and where it ends."""
    labels, at = [], HEADER.size
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), at + 1


class NameServer:
    """`*.healthy.test` is 127.0.0.1, `*.hanging.test` is never answered, `*.broken.test` is SERVFAIL, others do not
    exist."""

    def __init__(self, host: str = LOOPBACK, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self.address: tuple[str, int] = self._socket.getsockname()
        self.asked: list[str] = []
        threading.Thread(target=self._serve, name="name server", daemon=True).start()

    def stop(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                packet, client = self._socket.recvfrom(4096)
            except OSError:
                return
            name, end = _name(packet)
            self.asked.append(name)
            answer = self._answer(packet, name, end)
            if answer is not None:
                self._socket.sendto(answer, client)

    def _answer(self, packet: bytes, name: str, end: int) -> bytes | None:
        if name.endswith("hanging.test"):
            return None
        number = HEADER.unpack_from(packet)[0]
        kind = struct.unpack_from("!H", packet, end)[0]
        question = packet[HEADER.size : end + 4]
        if not name.endswith("healthy.test"):
            code = SERVFAIL if name.endswith("broken.test") else NXDOMAIN
            return HEADER.pack(number, 0x8180 | code, 1, 0, 0, 0) + question
        record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + socket.inet_aton(LOOPBACK)
        has = kind == A
        return HEADER.pack(number, 0x8180, 1, int(has), 0, 0) + question + (record if has else b"")


def client(server: tuple[str, int], patience: float = 10.0) -> Lookup:
    """A lookup that blocks its thread as getaddrinfo does: `patience` seconds when there is no answer."""

    def lookup(host: str) -> list[str]:
        labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        packet = HEADER.pack(1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", A, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(patience)
            asking.sendto(packet, server)
            try:
                answer = asking.recv(4096)
            except TimeoutError:
                raise ResolveError(f"no answer for {host}", definite=False) from None
        code, records = HEADER.unpack_from(answer)[1] & 15, HEADER.unpack_from(answer)[3]
        if not records:
            raise ResolveError(f"no address for {host}", definite=code == NXDOMAIN)
        return [socket.inet_ntoa(answer[-4:])]

    return lookup
