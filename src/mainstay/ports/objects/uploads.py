"""Multipart uploads that were begun and never ended: invisible, but paid for. The requests that obstore lacks."""

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from mainstay.core.secret import Secret
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects.base import Denied, StorageError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_PAGES = 100
POLICY = "the key may not do this: look at its policy"


@dataclass(frozen=True, slots=True)
class Account:
    """A bucket with the keys to it."""

    bucket: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def find(
        cls, bucket: str, endpoint: str | None, region: str, access: Secret | None, secret: Secret | None
    ) -> "Account | None":
        """Take the given keys, else those of the environment; None when there are none (the machine's role)."""
        endpoint = endpoint or f"https://s3.{region}.amazonaws.com"
        if access is not None and secret is not None:
            return cls(bucket, endpoint, region, access.reveal(), secret.reveal())
        name, key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not name or not key:
            return None
        return cls(bucket, endpoint, region, name, key, os.environ.get("AWS_SESSION_TOKEN"))

    def path(self, key: str = "") -> str:
        """Give the path of an object, or of the bucket, in a request."""
        return "/" + quote(f"{self.bucket}/{key}" if key else self.bucket, safe="/-._~")


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that is not finished."""

    key: str
    id: str
    begun_at: float


def signed(
    account: Account, method: str, path: str, query: dict[str, str], at: datetime, body: bytes = b""
) -> tuple[str, dict[str, str]]:
    """Give the URL and the headers of a request (AWS Signature Version 4)."""
    sha256 = hashlib.sha256(body).hexdigest()
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{account.region}/s3/aws4_request"
    host = urlsplit(account.endpoint).netloc
    headers = {"host": host, "x-amz-content-sha256": sha256, "x-amz-date": stamp}
    if account.token:
        headers["x-amz-security-token"] = account.token
    names = ";".join(sorted(headers))
    pairs = sorted((quote(key, safe="-._~"), quote(value, safe="-._~")) for key, value in query.items())
    line = "&".join(f"{key}={value}" for key, value in pairs)
    lines = [method, path, line, *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, sha256]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    secret = f"AWS4{account.secret_key}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={account.access_key}/{scope}, SignedHeaders={names}, Signature={secret.hex()}"
    )
    return f"{account.endpoint}{path}?{line}", headers


async def request(account: Account, method: str, path: str, query: dict[str, str], body: bytes = b"") -> str:
    """Send a request; give the answer's text, that of "not found" as well. Raises `Denied`, `StorageError`."""
    import aiohttp
    from yarl import URL

    # The service compares the time of the signature with its own clock, so the machine's is taken.
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    url, headers = signed(account, method, path, query, now, body)
    headers["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            session.request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            ) as answer,
        ):
            text = await answer.text()
    except aiohttp.ClientConnectorError as fault:
        number = fault.errno or 0  # a name that cannot be resolved has none of the system's
        reason = os.strerror(number) if number > 0 else str(fault.os_error)
        raise StorageError(
            f"bucket {account.bucket}: cannot connect to {account.endpoint}: {reason}",
            hint="look at the endpoint, its port and the network",
        ) from None
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise StorageError(f"bucket {account.bucket}: {str(fault) or 'no answer in time'}") from None
    if answer.status == 403:
        raise Denied(
            f"bucket {account.bucket}: {method} {path}?{next(iter(query), '')} is denied", hint=POLICY
        )
    if answer.status >= 300 and answer.status != 404:
        raise StorageError(f"bucket {account.bucket}: {method} {path} was answered with {answer.status}")
    return text


async def abandoned_uploads(account: Account, prefix: str, before: float | None) -> list[Upload]:
    """Give the unfinished uploads of keys below `prefix` that were begun before a moment (seconds since 1970)."""
    found: list[Upload] = []
    query = {"uploads": "", "prefix": prefix}
    for _ in range(MOST_PAGES):
        page = ElementTree.fromstring(await request(account, "GET", account.path(), query))  # noqa: S314  # our own service
        found += [_upload(node) for node in page if node.tag.endswith("Upload")]
        if _text(page, "IsTruncated") != "true":
            break
        query |= {
            "key-marker": _text(page, "NextKeyMarker"),
            "upload-id-marker": _text(page, "NextUploadIdMarker"),
        }
    ours = [
        upload
        for upload in found
        if not prefix or upload.key == prefix or upload.key.startswith(f"{prefix}/")
    ]
    return [upload for upload in ours if before is None or upload.begun_at < before]


async def abort(account: Account, upload: Upload) -> None:
    """Give an upload up, with all of its parts."""
    await request(account, "DELETE", account.path(upload.key), {"uploadId": upload.id})


def _upload(node: "Element") -> Upload:
    begun = datetime.fromisoformat(_text(node, "Initiated"))
    return Upload(_text(node, "Key"), _text(node, "UploadId"), begun.timestamp())


def _text(node: "Element", name: str) -> str:
    return next(
        (child.text or "" for child in node if child.tag.endswith(f"}}{name}") or child.tag == name), ""
    )
