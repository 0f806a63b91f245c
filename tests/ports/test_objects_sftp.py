"""SFTP: whom it trusts, what it does when the server can little, is full, refuses, or is cut off in the middle."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncssh
import pytest
from pydantic import ValidationError

from mainstay.core.secret import Secret
from mainstay.ports.objects import Denied, StorageError, sftp_link
from mainstay.ports.objects.base import chunked
from mainstay.ports.objects.sftp import Sftp
from tests.contracts.test_objects import sftp_storage
from tests.helpers import aeventually
from tests.servers.faults import FaultProxy
from tests.servers.process import free_port
from tests.servers.sftp import SftpServer

MIB = 1 << 20
PASSWORD = "correct-horse-battery"


@pytest.fixture
def box(sftp: SftpServer, tmp_path: Path) -> Sftp:
    return sftp_storage(sftp, str(sftp.root / tmp_path.name))


def other_key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


async def test_a_server_with_another_key_is_not_spoken_to(sftp: SftpServer, tmp_path: Path) -> None:
    box = sftp_storage(sftp, str(sftp.root / tmp_path.name), host_key=other_key())
    with pytest.raises(StorageError, match="Host key is not trusted") as told:
        await box.put("object", chunked(b"x"))
    assert "compare ssh-keyscan with `host_key`" in str(told.value)
    assert not (sftp.root / tmp_path.name).exists()


async def test_one_of_several_host_keys_will_do_and_so_does_a_file(sftp: SftpServer, tmp_path: Path) -> None:
    box = sftp_storage(sftp, str(sftp.root / tmp_path.name), host_key=[other_key(), sftp.host_key])
    await box.put("object", chunked(b"x"))
    known = tmp_path / "known_hosts"
    known.write_text(f"[{sftp.host}]:{sftp.port} {sftp.host_key}\n")
    assert await sftp_storage(sftp, box.path, host_key=None, known_hosts=known).read("object") == b"x"
    known.write_text(f"[{sftp.host}]:{sftp.port} {other_key()}\n")
    with pytest.raises(StorageError, match="not trusted"):
        await sftp_storage(sftp, box.path, host_key=None, known_hosts=known).read("object")


async def test_a_key_that_is_not_let_in_is_told(sftp: SftpServer, box: Sftp) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    wrong = box.model_copy(update={"key": Secret("box_key", stranger)})
    with pytest.raises(StorageError, match="Permission denied") as told:
        await wrong.check()
    assert "look at the key or the password" in str(told.value)
    assert "PRIVATE KEY" not in str(told.value)
    nonsense = box.model_copy(update={"key": Secret("box_key", "nonsense-nonsense")})
    with pytest.raises(StorageError, match="secret box_key is not a private key") as told:
        await nonsense.check()
    assert "nonsense-nonsense" not in str(told.value)


async def test_a_server_that_is_down_is_told(sftp: SftpServer, box: Sftp) -> None:
    with pytest.raises(StorageError, match=r"sftp .*@127") as told:
        await box.model_copy(update={"port": free_port()}).check()
    assert "look at the host, its port and the network" in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": Secret("k", "x")}, "so that the server is known"),
        ({"host_key": other_key()}, "say `key` or `password`"),
        ({"host_key": "ssh-ed25519 AAAA", "key": Secret("k", "x")}, "not a host key"),
        ({"host_key": other_key(), "key": Secret("k", "x"), "path": "../up"}, "not a directory"),
    ],
)
def test_what_cannot_be_trusted_is_refused_when_it_is_read(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sftp(host="box.example.com", user="u", **options)  # type: ignore[arg-type]


async def test_files_are_for_their_owner_only(box: Sftp) -> None:
    await box.put("shop/object", chunked(b"x"))
    assert oct((Path(box.path) / "shop/object").stat().st_mode)[-3:] == "600"


def keepers() -> int:
    """How many connections are open in this loop."""
    return sum("Link._keep" in str(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_connection_is_shared_and_closed_when_nobody_needs_it(
    sftp: SftpServer, box: Sftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sftp.engine.said().count("Accepted publickey")
    await asyncio.gather(*(box.put(f"many/{number}", chunked(b"x")) for number in range(20)))
    await box.put("one more", chunked(b"x"))
    await aeventually(lambda: sftp.engine.said().count("Accepted publickey") == before + 1)
    monkeypatch.setattr(sftp_link, "LINGER", 0.01)
    other = box.model_copy()
    await other.read("one more")
    await aeventually(lambda: keepers() == 1)  # that of the first, which lingers longer
    assert await other.read("one more") == b"x"


async def test_an_upload_that_is_cut_off_is_invisible_and_swept(
    sftp: SftpServer, box: Sftp, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    proxy = fault_proxy(sftp.port)
    far = box.model_copy(update={"port": proxy.port})
    await box.put("object", chunked(b"old"))

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(12):
            yield os.urandom(MIB)
            if number == 6:
                proxy.reset()

    with pytest.raises(StorageError, match="sftp "):
        await far.put("object", chunks())
    assert await box.read("object") == b"old"
    assert [entry.path async for entry in box.list()] == ["object"]
    assert await far.read("object") == b"old"  # on a new connection
    now = (Path(box.path) / "object").stat().st_mtime
    left = len(list(Path(box.path).glob(".*.part")))
    assert await box.sweep(now) == 0  # it might be another's, under way
    assert await box.sweep(now, age=0) == left


@pytest.fixture
def tiny(sftp: SftpServer) -> Iterator[Path]:
    """A file system of 4 MB on the server."""
    place = sftp.root / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        place.rmdir()
        pytest.skip("only root may make a file system of 4 MB")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_disk_that_is_full_is_told_and_nothing_is_left(sftp: SftpServer, tiny: Path) -> None:
    box = sftp_storage(sftp, str(tiny))
    with pytest.raises(StorageError, match=r"4\.\d MB free, about 9\.0 MB are needed"):
        await box.put("object", chunked(b"x"), expect=9_000_000)
    with pytest.raises(StorageError, match="No space left on its disk") as told:
        await box.put("object", chunked(os.urandom(8 * MIB)))
    assert "free some space" in str(told.value)
    assert list(tiny.iterdir()) == []


class Plain(asyncssh.SFTPServer):
    """A server without the extensions of OpenSSH."""

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("no")

    def fsync(self, file_obj: object) -> None:
        raise asyncssh.SFTPOpUnsupported("no")

    def statvfs(self, path: bytes) -> asyncssh.SFTPVFSAttrs:
        raise asyncssh.SFTPOpUnsupported("no")


class Keeping(asyncssh.SFTPServer):
    """A server on which nothing may be deleted."""

    def remove(self, path: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("not yours to delete")


class Doorman(asyncssh.SSHServer):
    """Lets in who knows the password."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("odoo", PASSWORD)


@asynccontextmanager
async def served(kind: type[asyncssh.SFTPServer], root: Path) -> AsyncIterator[Sftp]:
    """A server in this process; give a storage on it."""
    host = asyncssh.generate_private_key("ssh-ed25519")
    root.mkdir(exist_ok=True)
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Doorman, server_host_keys=[host],
        sftp_factory=partial(kind, chroot=os.fsencode(root)),
    )  # fmt: skip
    port = server.sockets[0].getsockname()[1]
    known = host.export_public_key().decode()
    try:
        yield Sftp(
            host="127.0.0.1", port=port, user="odoo", path="/vault", host_key=known,
            password=Secret("box_password", PASSWORD),
        )  # fmt: skip
    finally:
        server.close()
        await server.wait_closed()


async def test_a_server_that_can_little_is_enough(tmp_path: Path) -> None:
    async with served(Plain, tmp_path / "root") as box:
        await box.put("shop/object", chunked(b"old"))
        await box.put("shop/object", chunked(os.urandom(3 * MIB)), expect=3 * MIB)
        assert [(entry.path, entry.bytes) async for entry in box.list()] == [("shop/object", 3 * MIB)]
        await box.delete("shop/object")
        assert [entry async for entry in box.list()] == []


class Cut(Plain):
    """One whose disk fails between the two steps in which a file is replaced there."""

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        if b".replaced" not in newpath and self._aside(newpath).exists():
            raise asyncssh.SFTPFailure("now of all times")
        super().rename(oldpath, newpath)

    def _aside(self, path: bytes) -> Path:
        folder, _, name = os.fsdecode(self.map_path(path)).rpartition("/")
        return Path(folder) / f".{name}.replaced.part"


@pytest.mark.parametrize("look", ["read", "head", "list", "sweep", "put", "delete"])
async def test_what_is_replaced_in_two_steps_is_never_gone(tmp_path: Path, look: str) -> None:
    """The old one lies aside when the writer is cut off, and comes back for whoever asks first."""
    async with served(Plain, tmp_path / "root") as box:
        await box.put("shop/object", chunked(b"old"))
        async with served(Cut, tmp_path / "root") as failing:
            with pytest.raises(StorageError, match="now of all times"):
                await failing.put("shop/object", chunked(b"new"))
        assert not (tmp_path / "root/vault/shop/object").exists()
        if look == "read":
            assert await box.read("shop/object") == b"old"
        elif look == "head":
            assert await box.head("shop/object") is not None
        elif look == "list":
            assert [entry.path async for entry in box.list("shop")] == ["shop/object"]
        elif look == "sweep":
            await box.sweep(0, age=0)
        elif look == "put":
            await box.put("shop/object", chunked(b"new"))
        else:
            await box.delete("shop/object")
            assert [entry async for entry in box.list()] == []
            return
        assert await box.read("shop/object") == (b"new" if look == "put" else b"old")


async def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    async with served(Plain, tmp_path / "root") as box:
        wrong = box.model_copy(update={"password": Secret("box_password", "wrong-horse-77")})
        with pytest.raises(StorageError, match="Permission denied") as told:
            await wrong.check()
        assert "wrong-horse-77" not in str(told.value)


async def test_where_nothing_may_be_deleted_it_is_found_out(tmp_path: Path) -> None:
    async with served(Keeping, tmp_path / "root") as box:
        powers = await box.check()
        assert (powers.read, powers.delete) == (True, False)
        assert powers.now is not None
        await box.put("object", chunked(b"x"))
        with pytest.raises(Denied, match="not yours to delete"):
            await box.delete("object")
