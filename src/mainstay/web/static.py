"""Style sheets, scripts and fonts, held in memory, under an address that changes with their content."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

ROOT = Path(__file__).parent / "static"
SERVED = {".css", ".js", ".svg", ".woff2", ".webmanifest"}
YEAR = 365 * 86400


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, plain and (when that is shorter) compressed."""

    type: str
    body: bytes
    packed: bytes | None
    etag: str


class Assets:
    """Every file, read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self.files = {
            path.relative_to(root).as_posix(): _asset(path)
            for path in sorted(root.rglob("*"))
            if path.suffix in SERVED
        }
        whole = hashlib.sha256()
        for name, asset in self.files.items():
            whole.update(name.encode() + b"\0" + asset.body)
        self.version = whole.hexdigest()[:12]

    def url(self, name: str) -> str:
        """The address of a file; browsers may keep what it gives for ever."""
        if name not in self.files:
            raise LookupError(f"there is no static file {name}")
        return f"/static/{self.version}/{name}"


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    packed = gzip.compress(body, 9, mtime=0) if path.suffix != ".woff2" else body
    kind = {".woff2": "font/woff2", ".js": "text/javascript; charset=utf-8"}.get(path.suffix)
    kind = kind or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind in ("text/css", "image/svg+xml"):
        kind += "; charset=utf-8"
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    return Asset(kind, body, packed if len(packed) < len(body) else None, etag)


@cache
def assets() -> Assets:
    """The product's own files."""
    return Assets()


async def static(request: Request) -> Response:
    """`GET /static/VERSION/NAME`."""
    found = assets().files.get(request.path_params["name"])
    if found is None:
        return Response("there is no such file\n", 404, media_type="text/plain")
    current = request.path_params["version"] == assets().version
    headers = {
        "ETag": found.etag,
        "Vary": "Accept-Encoding",
        "Cache-Control": f"public, max-age={YEAR}, immutable" if current else "no-cache",
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    if found.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(found.packed, headers=headers | {"Content-Type": found.type})
    return Response(found.body, headers=headers | {"Content-Type": found.type})
