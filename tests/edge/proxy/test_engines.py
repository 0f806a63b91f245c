"""Real servers as origins."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.edge.proxy.parts import HOST, read_answer, route, running
from tests.servers.authority import Authority
from tests.servers.nginx import NginxServer

NGINX = """
server {
  listen 127.0.0.1:{port};
  root {base};
  client_max_body_size 1m;
  location = /gone { return 410 "gone"; }
  location = /empty { return 204; }
  location = /moved { return 301 /else; }
  location /slow { chunked_transfer_encoding on; autoindex on; alias {base}/; }
}
"""


async def test_nginx_as_an_origin(nginx: Callable[[str], NginxServer]) -> None:
    server = nginx(NGINX)
    (server.base / "large.bin").write_bytes(bytes(range(256)) * 8192)
    async with running(route(server.url)) as gateway, aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{gateway.port}"
        async with session.get(f"{base}/large.bin") as got:
            assert await got.read() == bytes(range(256)) * 8192
            etag = got.headers["ETag"]
        async with session.get(f"{base}/large.bin", headers={"If-None-Match": etag}) as got:
            assert got.status == 304
        async with session.get(f"{base}/large.bin", headers={"Range": "bytes=256-300"}) as got:
            assert (got.status, await got.read()) == (206, bytes(range(45)))
        async with session.head(f"{base}/large.bin") as got:
            assert got.headers["Content-Length"] == str(256 * 8192)
        async with session.get(f"{base}/moved", allow_redirects=False) as got:
            assert got.status == 301
        for path, status in (("gone", 410), ("empty", 204), ("missing", 404)):
            async with session.get(f"{base}/{path}") as got:
                assert got.status == status
        async with session.post(f"{base}/x", data=io.BytesIO(b"x" * 2_000_000)) as got:
            assert got.status == 413
        assert gateway.plane.state()[0]["origins"][0]["failures"] == 0


async def test_nginx_ends_its_workers_under_requests(nginx: Callable[[str], NginxServer]) -> None:
    """A reload closes kept connections at any moment: what can be repeated is, and nobody notices."""
    server = nginx(NGINX)
    async with running(route(server.url)) as gateway:
        reader, writer = await gateway.connect()
        for number in range(400):
            if number % 100 == 50:
                server.reload(NGINX)
            writer.write(b"GET /gone HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await read_answer(reader))[1] == b"gone"
        writer.close()


async def test_an_origin_that_speaks_tls_must_show_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.scheme} {request.headers['X-Forwarded-Proto']}")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with running(route(url, carry={"ca": str(authority.ca)})) as gateway:
            for _ in range(2):
                assert (await gateway.get()).endswith(b"https http")
            assert gateway.plane.state()[0]["origins"][0]["connects"] == 1
        async with running(route(url)) as gateway:
            assert (await gateway.get()).startswith(b"HTTP/1.1 502 ")
    finally:
        await runner.cleanup()
