"""A TCP proxy which hurts what passes: it cuts connections after so many bytes, stalls them, refuses them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from tests.servers.process import LOOPBACK

CHUNK = 65536


class Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.dead = False

    def cut(self) -> None:
        """End it with RST, as a crash or a firewall does: closing with a linger of zero sends one instead of FIN."""
        self.dead = True
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wakes the thread that reads; the one that buries the link closes both ends.
                end.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self.client.close()
        self.server.close()


class FaultProxy:
    """Forwards `port` to a port of the loopback address; every fault holds until `heal`."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self._lock = threading.Lock()
        self._links: set[Link] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._budget: int | None = None
        self._listener: socket.socket | None = None
        self.connections = 0
        self.heal()

    def cut_after(self, sent: int) -> None:
        """Reset the connection as soon as `sent` more bytes went from clients to the server, and all later ones."""
        with self._lock:
            self._budget = sent

    def stall(self) -> None:
        """Let nothing through, and keep every connection open."""
        self._flowing.clear()

    def refuse(self) -> None:
        """Stop listening and reset what is open."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset()

    def reset(self) -> None:
        """Cut every connection that is open now; new ones are fine."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.cut()
        self._flowing.set()

    def heal(self) -> None:
        """No fault any more; listen again, on the same port."""
        with self._lock:
            self._budget = None
        self._flowing.set()
        if self._listener is None:
            listener = socket.create_server((LOOPBACK, self.port), backlog=128)
            self.port = int(listener.getsockname()[1])
            self._listener = listener
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    stop = refuse

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((LOOPBACK, self.target_port))
            except OSError:
                Link(client, client).cut()
                client.close()
                self.connections += 1
                continue
            link = Link(client, server)
            with self._lock:
                self._links.add(link)
                self.connections += 1  # from here on a fault reaches it
            pipes = [
                threading.Thread(target=self._pump, args=(link, client, server), daemon=True),
                threading.Thread(target=self._pump, args=(link, server, client), daemon=True),
            ]
            for pipe in pipes:
                pipe.start()
            threading.Thread(target=self._bury, args=(link, pipes), daemon=True).start()

    def _pump(self, link: Link, source: socket.socket, target: socket.socket) -> None:
        try:
            while chunk := source.recv(CHUNK):
                self._flowing.wait()
                if source is link.client and not self._spend(len(chunk)):
                    link.cut()
                if link.dead:
                    return
                target.sendall(chunk)
            if not link.dead:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            link.cut()

    def _spend(self, size: int) -> bool:
        with self._lock:
            if self._budget is None:
                return True
            self._budget -= size
            return self._budget > 0

    def _bury(self, link: Link, pipes: list[threading.Thread]) -> None:
        for pipe in pipes:
            pipe.join()
        with self._lock:
            self._links.discard(link)
        link.close()
