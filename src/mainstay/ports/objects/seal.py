"""Encryption before anything leaves this machine, in the format of `age`, so that `age` alone can undo it."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, field_validator

from mainstay.core.errors import MainstayError
from mainstay.core.plugin import Settings
from mainstay.core.secret import Secret

T = TypeVar("T")
PIECE = 1 << 20
"""Bytes that are passed on at a time."""
WAITING = 2
"""Pieces that may wait for whoever takes them."""


class SealError(MainstayError):
    """Something cannot be encrypted or decrypted."""


class NoKey(SealError):
    """There is no identity here that opens it."""


class Broken(SealError):
    """What lies there is not what was encrypted: it was damaged, cut or is no such file at all."""


def _recipient(text: str) -> Any:
    import pyrage

    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    return kind.Recipient.from_str(text.strip())


def _check_recipient(text: str) -> str:
    import pyrage

    if text.upper().startswith("AGE-SECRET-KEY"):
        raise ValueError("this is a secret key, and now it stands in a file: make a new one with age-keygen")
    try:
        _recipient(text)
    except pyrage.RecipientError:
        raise ValueError(
            "this is not a recipient; write what age-keygen calls the public key, age1..., or an SSH public key"
        ) from None
    return text.strip()


Recipient = Annotated[str, AfterValidator(_check_recipient), Field(examples=["age1..."])]


class Encryption(Settings):
    """Who can read what is kept: nothing leaves this machine that `age` with one of their identities cannot open.

    New objects are for the present recipients; older ones stay readable for as long as an identity of theirs is here.
    """

    recipients: list[Recipient] = Field(min_length=1)
    """Public keys (`age1...` of `age-keygen`, or SSH's). Each one alone can read everything: keep one of them away."""
    identity: Secret | list[Secret] | None = None
    """The secret keys, as in the file of `age-keygen`; only proofs, restores and copies between differently encrypted
    storages need one. After a change of keys keep the old one here too, for as long as there are backups for it.
    """

    @field_validator("recipients")
    @classmethod
    def _once(cls, recipients: list[str]) -> list[str]:
        if len(set(recipients)) != len(recipients):
            raise ValueError("name each recipient once")
        return recipients

    @property
    def identities(self) -> list[Secret]:
        """The secrets that hold identities."""
        if self.identity is None:
            return []
        return list(self.identity) if isinstance(self.identity, list) else [self.identity]

    def opens(self) -> bool:
        """Whether an identity here can read what is written now. Raises `SealError` for one that is none."""
        import pyrage

        if not self.identities:
            return False
        try:
            pyrage.decrypt(pyrage.encrypt(b"trial", self._recipients()), self._identities())
        except pyrage.DecryptError:
            return False
        return True

    def _recipients(self) -> list[Any]:
        return [_recipient(text) for text in self.recipients]

    def _identities(self) -> list[Any]:
        found = [identity for secret in self.identities for identity in _parse(secret)]
        if not found:
            raise NoKey(
                "it is encrypted, and this machine has no identity to read it",
                hint="give the storage `encrypt: {identity: {secret: NAME}}`, or decrypt with age",
            )
        return found

    async def seal(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Encrypt a stream. Memory stays small however long it is."""
        import pyrage

        head, size = [], 0
        async for chunk in chunks:
            head.append(chunk)
            size += len(chunk)
            if size > PIECE:
                break
        else:  # so little that it is not worth a thread
            yield self.seal_bytes(b"".join(head))
            return
        recipients, whole = self._recipients(), _after(head, chunks)
        sealed = _through(lambda reader, writer: pyrage.encrypt_io(reader, writer, recipients), whole)
        async with aclosing(sealed) as pieces:
            async for piece in pieces:
                yield piece

    def seal_bytes(self, data: bytes) -> bytes:
        """Encrypt something small."""
        import pyrage

        return bytes(pyrage.encrypt(data, self._recipients()))

    async def open(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Decrypt a stream. Raises `NoKey`, `Broken`.

        What comes out before that was written by whoever encrypted it, but only the end shows that nothing is missing.
        """
        import pyrage

        identities = self._identities()
        opened = _through(lambda reader, writer: pyrage.decrypt_io(reader, writer, identities), chunks)
        try:
            async with aclosing(opened) as pieces:
                async for piece in pieces:
                    yield piece
        except pyrage.DecryptError as fault:
            if "No matching keys" in str(fault):
                raise NoKey(
                    "none of the identities here opens it",
                    hint="add the identity that it was encrypted for to `encrypt: {identity: [...]}`",
                ) from None
            raise Broken(f"it cannot be decrypted: {fault}") from None
        except OSError as fault:
            raise Broken(f"it cannot be decrypted: {fault}") from None


def _parse(secret: Secret) -> list[Any]:
    """Read what `age-keygen` wrote, or an SSH private key."""
    import pyrage

    text = secret.reveal()
    try:
        if "PRIVATE KEY" in text:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        lines = (line.strip() for line in text.splitlines())
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise SealError(
            f"secret {secret.name} is not an identity", hint="it is the file that age-keygen wrote"
        )
    return found


class _Gone(Exception):
    """Nobody takes the result any more."""


class _Bridge:
    """What a thread reads from and writes to: an asynchronous stream on one side, a short queue on the other."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._in = memoryview(b"")
        self._out: list[bytes] = []
        self._size = 0
        self._pending: concurrent.futures.Future[Any] | None = None
        self._closed = threading.Event()
        self._asking: asyncio.Task[Any] | None = None
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self.fault: BaseException | None = None
        self.end: asyncio.Future[None] = self._loop.create_future()

    def read(self, most: int) -> bytes:
        """Called in the thread: the next bytes, none at the end."""
        if not self._in:
            try:
                self._in = memoryview(self._wait(self._next()))
            except BaseException as fault:
                self.fault = fault  # it comes out of the library wrapped
                raise
        part, self._in = bytes(self._in[:most]), self._in[most:]
        return part

    async def _next(self) -> bytes:
        self._asking = asyncio.current_task()
        async for chunk in self._source:
            if chunk:
                return chunk
        return b""

    def write(self, data: bytes) -> int:
        """Called in the thread with what comes out."""
        self._out.append(bytes(data))
        self._size += len(data)
        if self._size >= PIECE:
            self.pass_on()
        return len(data)

    def flush(self) -> None:
        """Part of what a file can do."""

    def pass_on(self) -> None:
        """Called in the thread: hand over what has gathered."""
        if self._out:
            data = b"".join(self._out)
            self._out, self._size = [], 0
            self._wait(self.queue.put(data))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed.is_set():
            work.close()
            raise _Gone
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._pending = future
        if self._closed.is_set():
            future.cancel()
        return future.result()

    def run(self, work: Callable[["_Bridge", "_Bridge"], None]) -> None:
        """The thread itself."""
        fault: BaseException | None = None
        try:
            work(self, self)
            self.pass_on()
        except BaseException as raised:
            fault = self.fault or raised
        self._loop.call_soon_threadsafe(self._ended, fault)

    def _ended(self, fault: BaseException | None) -> None:
        self.fault = fault
        self.end.set_result(None)

    async def close(self) -> None:
        """End the thread, wherever it waits, and wait until nobody asks the stream any more."""
        self._closed.set()
        if self._pending is not None:
            self._pending.cancel()
        await self.end
        if self._asking is not None and not self._asking.done():
            await asyncio.wait((self._asking,))


async def _after(head: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while head:
        yield head.pop(0)
    async for chunk in rest:
        yield chunk


async def _through(
    work: Callable[[Any, Any], None], chunks: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Give what a function that reads one file and writes another makes of a stream.

    It runs in a thread of its own: the shared ones may all wait for exactly what it has to do.
    """
    bridge = _Bridge(chunks)
    threading.Thread(target=bridge.run, args=(work,), name="seal", daemon=True).start()
    taking = asyncio.ensure_future(bridge.queue.get())
    try:
        while True:
            await asyncio.wait((taking, bridge.end), return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                break
            piece = taking.result()
            taking = asyncio.ensure_future(bridge.queue.get())
            yield piece
        if bridge.fault is not None:
            raise bridge.fault
    finally:
        taking.cancel()
        await bridge.close()


def same_recipients(one: Encryption | None, recipients: Sequence[str]) -> bool:
    """Whether everyone who can read the one can read the other, so that sealed bytes may be copied as they are."""
    return one is not None and set(one.recipients) == set(recipients)
