"""The demonstration's web site: serves what is in a directory of certificates, and takes new files at SIGHUP."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

from mainstay.ports.clock import SystemClock

LOOK = 0.1


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "fullchain.pem", directory / "privkey.pem")
    return context


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    writer.close()


async def serve(port: int, directory: Path, say: Callable[[], object]) -> None:
    """Wait for the first certificate, then serve it; at each SIGHUP, from `say` on, the one that is there then."""
    news = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, news.set)
    say()
    clock = SystemClock()
    while not (directory / "privkey.pem").exists():
        await clock.sleep(LOOK)
    while True:
        news.clear()
        server = await asyncio.start_server(_greet, "127.0.0.1", port, ssl=_context(directory))
        async with server:
            await news.wait()


def main() -> None:
    """Serve on 127.0.0.1 and the port given first, from the directory given second; the third takes our number."""
    pid = Path(sys.argv[3])
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), lambda: pid.write_text(str(os.getpid()))))


if __name__ == "__main__":
    main()
