"""A bucket of an S3-compatible service as storage."""

import ipaddress
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mainstay.core.secret import Secret
from mainstay.ports.objects.base import (
    DAY,
    Denied,
    Entry,
    Native,
    NotThere,
    Storage,
    StorageError,
    safe_path,
)
from mainstay.ports.objects.lock import WITHOUT, Lock, hold, lockable
from mainstay.ports.objects.uploads import Account, abandoned_uploads, abort

PART = 8 << 20
MOST_PARTS = 10_000
"""What S3 takes of one object."""
TOO_LOW = 4
"""So many times as large as expected an object may be: what does not compress is three times what was estimated."""
RETRIES = 6
"""How often a request is tried again, with growing pauses."""
AT_ONCE = 3
"""Parts that travel at the same time; with the one being filled, memory stays under 60 MB."""


def _check_endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(f"{url!r} is not an address of an S3 service; write it like https://s3.example.com")
    return url.rstrip("/")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class S3(Storage, type="s3"):
    """Keeps objects in a bucket: Amazon S3, DigitalOcean Spaces, Cloudflare R2, Ceph, MinIO and others.

    ```yaml
    storage:
      spaces:
        s3:
          bucket: acme-backups
          endpoint: https://sgp1.digitaloceanspaces.com
          access_key: {secret: spaces_key}
          secret_key: {secret: spaces_secret}
    ```

    Uploads are streamed in parts with their SHA-256 in the signature. An upload that was cut off is invisible, and
    swept after a day.
    """

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """The bucket. It must exist; let its provider keep old versions if it can."""
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] | None = None
    """Address of the service; Amazon's own when left out."""
    region: str = "us-east-1"
    """The region, which is part of every signature. Services without regions take any."""
    prefix: str = ""
    """A folder in the bucket for everything of ours."""
    access_key: Secret | None = None
    """The key's name. Without it, the environment (`AWS_ACCESS_KEY_ID`) or the machine's own role is asked."""
    secret_key: Secret | None = None
    """The key itself."""
    lock: Lock | None = None
    """Lock every object against deletion, by anybody."""
    allow_http: bool = False
    """Allow an unencrypted endpoint that is not on this machine."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together")
        if (
            self._plain
            and not self.allow_http
            and not _loopback(urlsplit(self.endpoint or "").hostname or "")
        ):
            raise ValueError("this endpoint is not encrypted; use https, or set allow_http: true")
        if self.prefix:
            safe_path(self.prefix.rstrip("/"))
        return self

    def native(self, folder: str) -> Native | None:
        # What is locked against deletion cannot be kept in order by another program.
        if self.write_only or self.lock is not None:
            return None
        secrets = {}
        if self.access_key and self.secret_key:
            resolved = self.access_key.resolved and self.secret_key.resolved
            keys = (self.access_key.reveal(), self.secret_key.reveal()) if resolved else ("", "")
            secrets = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys, strict=True))
        prefix = f"{self.prefix.strip('/')}/" if self.prefix else ""
        place = f"{self.endpoint or 'https://s3.amazonaws.com'}/{self.bucket}/{prefix}{folder}"
        return Native(f"s3:{place}", {**secrets, "AWS_DEFAULT_REGION": self.region})

    @property
    def _plain(self) -> bool:
        return (self.endpoint or "").startswith("http://")

    def target(self) -> str:
        host = urlsplit(self.endpoint).hostname if self.endpoint else "Amazon S3"
        return f"bucket {self.bucket} at {host}"

    @cached_property
    def _store(self) -> Any:
        from datetime import timedelta

        from obstore.store import S3Store

        options: dict[str, Any] = {"bucket": self.bucket, "region": self.region}
        if self.endpoint:
            options["endpoint"] = self.endpoint
        if self.access_key and self.secret_key:
            options["access_key_id"] = self.access_key.reveal()
            options["secret_access_key"] = self.secret_key.reveal()
        if self.lock is not None:
            options["checksum_algorithm"] = "SHA256"  # buckets with lock want one with every upload
        return S3Store(
            **options,
            client_options={
                "allow_http": self._plain,
                "connect_timeout": timedelta(seconds=10),
                "timeout": timedelta(minutes=10),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(minutes=3)},
        )

    def _key(self, path: str) -> str:
        folder = self.prefix.rstrip("/")
        return f"{folder}/{path}" if folder and path else folder or path

    def _path(self, key: str) -> str:
        folder = self.prefix.rstrip("/")
        return key.removeprefix(f"{folder}/") if folder else key

    async def write(self, name: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        import obstore

        part = max(PART, -(-expect * TOO_LOW // MOST_PARTS))
        head, more = await _gather(chunks, part)
        if not more:
            with self._faults(name):
                await obstore.put_async(self._store, self._key(name), head, use_multipart=False)
            return
        source = _Source(head, chunks)
        try:
            with self._faults(name):
                await obstore.put_async(
                    self._store, self._key(name), source, chunk_size=part, max_concurrency=AT_ONCE,
                    use_multipart=True,
                )  # fmt: skip
        except BaseException:
            await self._abort(name)
            if source.fault is not None:
                raise source.fault from None
            raise

    async def _abort(self, name: str) -> None:
        # Best effort: what cannot be aborted now is swept later.
        account = self._account()
        if account is not None:
            try:
                for upload in await abandoned_uploads(account, self._key(name), before=None):
                    await abort(account, upload)
            except StorageError:
                return

    async def guard(self, name: str) -> None:
        if self.lock is not None:
            await hold(self._keys("lock"), self._key(name), self.lock)

    async def doubt(self) -> str | None:
        if self.lock is not None and not await lockable(self._keys("lock")):
            return f"{self.target()} has no object lock: {WITHOUT}"
        return None

    def _keys(self, option: str) -> Account:
        account = self._account()
        if account is None:
            raise StorageError(
                f"{self.target()}: `{option}` needs keys", hint="say access_key and secret_key"
            )
        return account

    async def fetch(self, entry: Entry, start: int = 0) -> AsyncIterator[bytes]:
        import asyncio

        import obstore

        key = self._key(safe_path(entry.path))

        async def part(position: int) -> bytes:
            with self._faults(entry.path):
                end = min(position + PART, entry.bytes)
                return bytes(await obstore.get_range_async(self._store, key, start=position, end=end))

        ahead = asyncio.ensure_future(part(start)) if start < entry.bytes else None
        try:
            while ahead is not None:
                data = await ahead
                start += len(data)
                ahead = asyncio.ensure_future(part(start)) if data and start < entry.bytes else None
                yield data
        finally:
            if ahead is not None:
                ahead.cancel()

    async def look(self, name: str) -> Entry | None:
        import obstore

        try:
            with self._faults(name):
                found = await obstore.head_async(self._store, self._key(safe_path(name)))
        except NotThere:
            return None
        return Entry(name, found["size"], found["last_modified"].timestamp())

    async def remove(self, name: str) -> None:
        import obstore

        try:
            with self._faults(name):
                await obstore.delete_async(self._store, self._key(safe_path(name)))
        except NotThere:
            return

    async def sweep(self, now: float, folder: str = "", age: float = DAY) -> int:
        account = self._account()
        if account is None:
            return 0
        uploads = await abandoned_uploads(account, self._key(folder), before=now - age)
        for upload in uploads:
            await abort(account, upload)
        return len(uploads)

    def _account(self) -> Account | None:
        return Account.find(self.bucket, self.endpoint, self.region, self.access_key, self.secret_key)

    async def walk(self, folder: str) -> AsyncIterator[Entry]:
        import obstore

        prefix = self._key(folder.rstrip("/"))
        found: Any = obstore.list(self._store, prefix=prefix or None, chunk_size=1000)
        with self._faults(folder):
            entries = [
                Entry(self._path(each["path"]), each["size"], each["last_modified"].timestamp())
                async for page in found
                for each in page
            ]
        for entry in sorted(entries, key=lambda entry: entry.path):
            yield entry

    @contextmanager
    def _faults(self, path: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, NotFoundError

        try:
            yield
        except (BaseError, OSError) as fault:
            if "NoSuchBucket" in str(fault):
                raise StorageError(f"there is no {self.target()}", hint="create the bucket") from None
            if isinstance(fault, NotFoundError | FileNotFoundError):
                raise NotThere(f"{path} is not in {self.target()}") from None
            kind = Denied if _denied(fault) else StorageError
            raise kind(f"{self.target()}: {_short(fault)}", hint=_hint(str(fault))) from None


def _denied(fault: Exception) -> bool:
    from obstore.exceptions import PermissionDeniedError

    keys = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed")
    return isinstance(fault, PermissionDeniedError) and not any(key in str(fault) for key in keys)


_TRIES = re.compile(r",? (?:after \d+ retries, )?max_retries: \d+, retry_timeout: \S+")
_REASON = re.compile(r'message: "([^"]+)"')


def _short(fault: Exception) -> str:
    words, _, source = str(fault).partition("\n\nDebug source")
    text = _TRIES.sub("", " ".join(words.split()).removeprefix("Generic S3 error: "))
    reason = _REASON.search(source)  # of the operating system
    return (f"{text}: {reason[1]}" if reason else text)[:400]


def _hint(text: str) -> str:
    hints = {
        "SignatureDoesNotMatch": "the secret key is wrong",
        "InvalidAccessKeyId": "the access key is wrong",
        "RequestTimeTooSkewed": "set this machine's clock (chrony, NTP)",
        "AccessDenied": "the key may not do this: look at its policy",
        "403 Forbidden": "the key may not do this: look at its policy",
        "QuotaExceeded": "the quota is used up",
        "InsufficientCapacity": "the service is full",
        "certificate": "the service's certificate is not trusted",
        "dns error": "look at the endpoint's name",
        "error sending request": "look at the endpoint, its port and the network",
        "timed out": "look at the network",
    }
    return next((hint for word, hint in hints.items() if word in text), "look at the provider's status")


async def _gather(chunks: AsyncIterator[bytes], most: int) -> tuple[bytes, bool]:
    """Give the first bytes, and whether there may be more."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= most:
            return b"".join(parts), True
    return b"".join(parts), False


class _Source:
    """The stream for the uploader; remembers what the stream raised, which would come out wrapped."""

    def __init__(self, head: bytes, rest: AsyncIterator[bytes]) -> None:
        self._head: bytes | None = head
        self._rest = rest
        self.fault: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._head is not None:
            head, self._head = self._head, None
            return head
        try:
            return await anext(self._rest)
        except StopAsyncIteration:
            raise
        except BaseException as fault:
            self.fault = fault
            raise
