"""Programs built without TLS reach a server that wants it: a forwarder on a socket that only we may open."""

import asyncio
import contextlib
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.ports.scratch import Workspace, short_root

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
SASL = 10
PLUS = b"SCRAM-SHA-256-PLUS"
AT_ONCE = 1 << 18
SOCKET = ".s.PGSQL.5432"
HOME = Path("~/.postgresql")
GOODBYE = 5.0
"""Seconds in which the other side may answer the end of a TLS connection."""


@asynccontextmanager
async def forwarded(dsn: Dsn, host: str, port: int, space: Workspace) -> AsyncIterator[Dsn]:
    """Give an address that needs no TLS and leads to the server at `host` and `port` over TLS.

    Certificates are verified as `sslmode`, `sslrootcert`, `sslcrl`, `sslcert` and `sslkey` of the address say. It is a
    socket in a directory of mode 0700: on a TCP port, everybody on this machine could use our client certificate.
    """
    forwarder = Forwarder(host, port, context(dsn), dsn.params.get("sslnegotiation") == "direct")
    folder = space.beside(short_root())
    server = await asyncio.start_unix_server(forwarder.serve, folder / SOCKET, limit=AT_ONCE)
    gone = {key: "" for key in dsn.params if key.startswith("ssl") or key in ("hostaddr", "channel_binding")}
    try:
        yield dsn.with_(**gone, host=str(folder), port="5432")
    finally:
        server.close()
        await forwarder.close()


def context(dsn: Dsn) -> ssl.SSLContext:
    """Give the TLS settings that libpq would use for an address. Raises `PostgresError`."""
    mode = dsn.params.get("sslmode", "prefer")
    root = dsn.params.get("sslrootcert") or str(HOME.expanduser() / "root.crt")
    if root == "system":
        mode = "verify-full"
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    try:
        if mode in ("verify-ca", "verify-full") or (mode == "require" and Path(root).exists()):
            made.verify_mode = ssl.CERT_REQUIRED
            made.check_hostname = mode == "verify-full"
            _trust(made, root, dsn.params.get("sslcrl"))
        _identify(made, dsn)
    except (OSError, ssl.SSLError) as fault:
        raise PostgresError(
            f"{dsn}: a certificate cannot be read: {fault}", hint="look at sslrootcert, sslcert and sslkey"
        ) from None
    return made


def _trust(made: ssl.SSLContext, root: str, revoked: str | None) -> None:
    if root == "system":
        made.load_default_certs()
    else:
        made.load_verify_locations(root)
    if revoked:
        made.load_verify_locations(revoked)
        made.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _identify(made: ssl.SSLContext, dsn: Dsn) -> None:
    certificate = Path(dsn.params.get("sslcert") or HOME.expanduser() / "postgresql.crt")
    key = Path(dsn.params.get("sslkey") or HOME.expanduser() / "postgresql.key")
    if "sslcert" in dsn.params or certificate.exists():
        made.load_cert_chain(certificate, key)


class Forwarder:
    """Passes connections on, each over a TLS connection of its own."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, direct: bool) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._direct = direct
        self._tasks: set[asyncio.Task[None]] = set()
        if direct:
            tls.set_alpn_protocols(["postgresql"])

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one client until either side is done."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            try:
                await self._pass(reader, writer)
            finally:
                await _hang_up(writer)

    async def close(self) -> None:
        """End what is still open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        first = await _startup(reader, writer)
        far_reader, far_writer = await self._dial()
        try:
            far_writer.write(first)
            there = asyncio.create_task(_pump(reader, far_writer))
            try:
                await _greet(far_reader, writer)
                await _pump(far_reader, writer)
            finally:
                there.cancel()
                await asyncio.gather(there, return_exceptions=True)
        finally:
            await _hang_up(far_writer)

    async def _dial(self) -> tuple[StreamReader, StreamWriter]:
        if self._direct:
            return await asyncio.open_connection(
                self._host, self._port, ssl=self._tls, server_hostname=self._host, limit=AT_ONCE
            )
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=AT_ONCE)
        try:
            writer.write(struct.pack("!II", 8, SSL_REQUEST))
            if await reader.readexactly(1) != b"S":
                raise ConnectionError("the server does not speak TLS")
            await writer.start_tls(self._tls, server_hostname=self._host)
        except BaseException:
            writer.transport.abort()
            await _hang_up(writer)
            raise
        return reader, writer


async def _hang_up(writer: StreamWriter) -> None:
    """Close a connection when everything was sent, or after a while."""
    writer.close()
    try:
        async with asyncio.timeout(GOODBYE):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def _startup(reader: StreamReader, writer: StreamWriter) -> bytes:
    """Give the client's first real packet; to a question for encryption the answer is no."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        if code not in (SSL_REQUEST, GSS_REQUEST):
            return head + await reader.readexactly(length - 8)
        writer.write(b"N")


async def _greet(reader: StreamReader, writer: StreamWriter) -> None:
    """Pass the server's first messages on, up to its wish for a password.

    Of the ways to give one, the way that is tied to the TLS connection is taken out: the client has none, and would
    rather refuse than be deceived.
    """
    while True:
        head = await reader.readexactly(5)
        body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
        if head[:1] == b"R" and struct.unpack("!I", body[:4])[0] == SASL:
            ways = [way for way in body[4:].split(b"\0") if way and way != PLUS]
            body = body[:4] + b"".join(way + b"\0" for way in ways) + b"\0"
        writer.write(head[:1] + struct.pack("!I", len(body) + 4) + body)
        if head[:1] in (b"R", b"E"):
            return


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(AT_ONCE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
