"""A directory on another machine as storage, by SFTP."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from mainstay.core.paths import ConfigPath
from mainstay.core.secret import Secret
from mainstay.core.units import format_size
from mainstay.ports.objects.base import (
    CHUNK,
    DAY,
    PART,
    Denied,
    Entry,
    NotThere,
    Storage,
    StorageError,
    safe_path,
)
from mainstay.ports.objects.sftp_link import Links
from mainstay.ports.objects.sftp_replace import original_of, put_back, remove, replace

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPClient

PATIENCE = 20.0
"""Seconds for connecting and logging in."""
KEEPALIVE = 15.0
"""Seconds of silence after which the server is asked whether it is still there; after three times it is not."""


def _check_host_key(text: str) -> str:
    import asyncssh

    try:
        asyncssh.import_public_key(text)
    except asyncssh.KeyImportError:
        raise ValueError(
            "this is not a host key; `ssh-keyscan HOST` prints it, behind the name: ssh-ed25519 AAAA..."
        ) from None
    return text.strip()


HostKey = Annotated[str, AfterValidator(_check_host_key), Field(examples=["ssh-ed25519 AAAA..."])]


class Sftp(Storage, type="sftp"):
    """Keeps objects as files on another machine that speaks SFTP: a storage box, a NAS, any server with OpenSSH.

    ```yaml
    storage:
      box:
        sftp:
          host: u12345.your-storagebox.de
          port: 23
          user: u12345
          path: backups
          key: {secret: box_key}
          host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIj0s6ys/vNVTtrCCkZYf4mAUwvC4Pk+3vdA8xEJzvSH
    ```

    The server must prove that it has the host key; nobody is trusted at first sight. An object gets its name when it is
    whole and, where the server can say so (OpenSSH can), on its disk. One that is replaced is there until the other one
    is, on every server. What was cut off is swept after a day.
    """

    host: str = Field(min_length=1)
    """The server."""
    port: int = Field(default=22, ge=1, le=65535)
    """Its port."""
    user: str = Field(min_length=1)
    """The account there."""
    path: str = "."
    """The directory there; relative to where the account begins. It is made when it is not there."""
    host_key: HostKey | list[HostKey] | None = None
    """The server's public key, as `ssh-keyscan HOST` prints it behind the name, or several."""
    known_hosts: ConfigPath | None = None
    """Or a file in the format of OpenSSH that knows the server."""
    key: Secret | None = None
    """A private key in OpenSSH's format, without a passphrase."""
    password: Secret | None = None
    """Or a password."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.host_key is None) == (self.known_hosts is None):
            raise ValueError(
                "say `host_key` (what ssh-keyscan prints) or `known_hosts`, so that the server is known"
            )
        if self.key is None and self.password is None:
            raise ValueError("say `key` or `password`")
        if not self.path or "\0" in self.path or ".." in self.path.split("/"):
            raise ValueError("this is not a directory")
        return self

    def target(self) -> str:
        return f"sftp {self.user}@{self.host}:{self.path}"

    @cached_property
    def _links(self) -> Links:
        return Links(self._connect)

    async def _connect(self) -> "tuple[Any, SFTPClient]":
        import asyncssh

        options: dict[str, Any] = {}
        if self.key is not None:
            options["client_keys"] = [_private(self.key)]
        else:
            options["client_keys"] = None
        if self.password is not None:
            options["password"] = self.password.reveal()
        connection = await asyncssh.connect(
            self.host, self.port, username=self.user, known_hosts=self._known(), config=None, agent_path=None,
            connect_timeout=PATIENCE, login_timeout=PATIENCE, keepalive_interval=KEEPALIVE, **options,
        )  # fmt: skip
        try:
            return connection, await connection.start_sftp_client()
        except BaseException:
            connection.abort()
            raise

    def _known(self) -> Any:
        import asyncssh

        if self.known_hosts is not None:
            return str(self.known_hosts)
        keys = [self.host_key] if isinstance(self.host_key, str) else self.host_key or []
        return [asyncssh.import_public_key(each) for each in keys], [], []

    @asynccontextmanager
    async def _client(self, name: str) -> "AsyncIterator[SFTPClient]":
        with self._faults(name):
            async with self._links.use() as client:
                yield client

    def _file(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{safe_path(name)}"

    async def write(self, name: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        file = self._file(name)
        folder, _, last = file.rpartition("/")
        part = f"{folder}/.{last[:100]}.{secrets.token_hex(6)}{PART}"
        async with self._links_open(name) as client:
            with self._faults(name):
                await self._room(client, expect)
                await client.makedirs(folder or "/", exist_ok=True)
            try:
                await self._fill(client, part, chunks, name)
                with self._faults(name):
                    await replace(client, part, file)
            except BaseException:
                await _discard(client, part)
                raise

    @asynccontextmanager
    async def _links_open(self, name: str) -> "AsyncIterator[SFTPClient]":
        """The client for a stream of somebody else's, whose exceptions are not ours to translate."""
        stack = self._links.use()
        with self._faults(name):
            client = await stack.__aenter__()
        try:
            yield client
        finally:
            await stack.__aexit__(None, None, None)

    async def _fill(self, client: "SFTPClient", part: str, chunks: AsyncIterator[bytes], name: str) -> None:
        import asyncssh

        with self._faults(name):
            # Made anew: nobody else's file is written into.
            handle = await client.open(part, "xb", asyncssh.SFTPAttrs(permissions=0o600))
        try:
            async for chunk in chunks:
                with self._faults(name):
                    await self._written(client, handle, chunk)
            with self._faults(name), suppress(asyncssh.SFTPOpUnsupported):
                await handle.fsync()
        finally:
            with suppress(asyncssh.Error, OSError):
                await handle.close()

    async def _written(self, client: "SFTPClient", handle: Any, chunk: bytes) -> None:
        import asyncssh

        try:
            await handle.write(chunk)
        except asyncssh.SFTPFailure as fault:
            # The protocol has no word for it; a look at the disk tells.
            if await _free(client, self.path) in range(len(chunk)):
                raise StorageError(f"{self.target()}: No space left on its disk", hint=ROOM) from fault
            raise

    async def _room(self, client: "SFTPClient", expect: int) -> None:
        free = await _free(client, self.path) if expect > CHUNK else None
        if free is not None and expect > free:
            raise StorageError(
                f"{self.target()} has {format_size(free)} free, about {format_size(expect)} are needed",
                hint=ROOM,
            )

    async def fetch(self, entry: Entry, start: int = 0) -> AsyncIterator[bytes]:
        async with self._links_open(entry.path) as client:
            with self._faults(entry.path):
                handle = await _opened(client, self._file(entry.path))
            try:
                while True:
                    with self._faults(entry.path):
                        chunk: Any = await handle.read(CHUNK, start)
                    if not chunk:
                        return
                    start += len(chunk)
                    yield bytes(chunk)
            finally:
                await handle.close()

    async def look(self, name: str) -> Entry | None:
        try:
            async with self._client(name) as client:
                found = await _seen(client, self._file(name))
        except NotThere:
            return None
        return Entry(name, found.size or 0, float(found.mtime or 0))

    async def remove(self, name: str) -> None:
        import asyncssh

        file = self._file(name)
        try:
            async with self._client(name) as client:
                await remove(client, file)
                folder = file.rpartition("/")[0]
                with suppress(asyncssh.SFTPError):  # a folder that is not empty stays
                    while len(folder) > len(self.path.rstrip("/")):
                        await client.rmdir(folder)
                        folder = folder.rpartition("/")[0]
        except NotThere:
            return

    async def walk(self, folder: str) -> AsyncIterator[Entry]:
        async with self._client(folder) as client:
            found = [
                each async for each in self._below(client, folder.rstrip("/")) if not each.path.endswith(PART)
            ]
        for entry in sorted(found, key=lambda entry: entry.path):
            yield entry

    async def _below(self, client: "SFTPClient", folder: str) -> AsyncIterator[Entry]:
        import asyncssh
        from asyncssh import FILEXFER_TYPE_DIRECTORY, FILEXFER_TYPE_REGULAR

        folders = [folder]
        while folders:
            here = folders.pop()
            place = self._file(here) if here else self.path
            found = {}
            with suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                found = {str(each.filename): each.attrs async for each in client.scandir(place)}
            for name, attrs in found.items():
                old = original_of(name)
                if old and old not in found and await put_back(client, f"{place.rstrip('/')}/{old}"):
                    name = old
                path = f"{here}/{name}" if here else name
                if attrs.type == FILEXFER_TYPE_DIRECTORY and name not in (".", ".."):
                    folders.append(path)
                elif attrs.type == FILEXFER_TYPE_REGULAR:
                    yield Entry(path, attrs.size or 0, float(attrs.mtime or 0))

    async def sweep(self, now: float, folder: str = "", age: float = DAY) -> int:
        async with self._client(folder) as client:
            parts = [
                each async for each in self._below(client, folder.rstrip("/")) if each.path.endswith(PART)
            ]
            old = [each.path for each in parts if each.modified <= now - age or not age]
            for path in old:
                await _discard(client, f"{self.path.rstrip('/')}/{path}")
        return len(old)

    @contextmanager
    def _faults(self, name: str) -> Iterator[None]:
        import asyncssh

        try:
            yield
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise NotThere(f"{name} is not in {self.target()}") from None
        except asyncssh.SFTPPermissionDenied as fault:
            raise Denied(f"{self.target()}: {fault.reason}", hint=f"let {self.user} do that there") from None
        except (asyncssh.Error, OSError, TimeoutError) as fault:
            reason = getattr(fault, "reason", "") or getattr(fault, "strerror", "") or str(fault)
            what = f"{self.target()}: {reason or 'no answer in time'}"
            raise StorageError(what, hint=_hint(fault)) from None


ROOM = "the disk is full: free some space or use another storage"


def _private(key: Secret) -> Any:
    import asyncssh

    try:
        return asyncssh.import_private_key(key.reveal())
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise StorageError(
            f"secret {key.name} is not a private key that can be used",
            hint="it is the file that ssh-keygen wrote, without a passphrase",
        ) from None


def _hint(fault: Exception) -> str:
    import asyncssh

    if isinstance(fault, asyncssh.HostKeyNotVerifiable):
        return "the server is not the one that it was: compare ssh-keyscan with `host_key`, and ask why"
    if isinstance(fault, asyncssh.PermissionDenied):
        return "look at the key or the password, and at the account"
    if isinstance(fault, asyncssh.SFTPError):
        return "look at the disk there, and at the directory's owner"
    return "look at the host, its port and the network"


async def _opened(client: "SFTPClient", file: str) -> Any:
    import asyncssh

    try:
        return await client.open(file, "rb")
    except asyncssh.SFTPNoSuchFile:
        if not await put_back(client, file):
            raise
    return await client.open(file, "rb")


async def _seen(client: "SFTPClient", file: str) -> "SFTPAttrs":
    import asyncssh

    try:
        return await client.stat(file)
    except asyncssh.SFTPNoSuchFile:
        if not await put_back(client, file):
            raise
    return await client.stat(file)


async def _discard(client: "SFTPClient", part: str) -> None:
    import asyncssh

    with suppress(asyncssh.Error, OSError):
        async with asyncio.timeout(PATIENCE):
            await client.remove(part)


async def _free(client: "SFTPClient", path: str) -> int | None:
    """Give the bytes that are free there, if the server says so."""
    import asyncssh

    try:
        disk = await client.statvfs(path)
    except asyncssh.SFTPError:
        return None
    return int(disk.bavail * disk.frsize)
