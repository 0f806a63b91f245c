"""Files that change all at once."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from mainstay.certs.pem import Pair, pair
from mainstay.certs.shelf import FILES, KEPT, Shelf, Unreadable
from mainstay.core.errors import MainstayError
from tests.servers.authority import Authority


def issued(place: Path) -> Pair:
    certificate, key = Authority(place).issue("a.test")
    return pair(certificate.read_bytes(), key.read_bytes(), "test")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def test_what_cannot_be_looked_at_is_not_called_missing(shelf: Shelf, tmp_path: Path) -> None:
    version = shelf.add(issued(tmp_path))
    shelf.point(version)
    file = shelf.directory / "versions" / version / "fullchain.pem"
    file.unlink()
    with pytest.raises(MainstayError) as missing:
        shelf.read(version)
    assert not isinstance(missing.value, Unreadable)
    file.mkdir()
    with pytest.raises(Unreadable, match="directory"):
        shelf.read(version)


def test_what_is_put_in_place_is_found_under_stable_names(shelf: Shelf, tmp_path: Path) -> None:
    made = issued(tmp_path)
    version = shelf.add(made)
    assert shelf.current() is None
    assert not (shelf.directory / "fullchain.pem").exists()
    shelf.point(version)
    assert shelf.current() == version
    assert (shelf.directory / "fullchain.pem").read_bytes() == made.fullchain
    assert shelf.read(version) == made
    assert {path.name for path in shelf.directory.iterdir()} == {*FILES, "current", "versions"}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in shelf.directory.glob("*.pem")}
    assert modes["privkey.pem"] == modes["combined.pem"] == 0o600


def test_certificate_and_key_always_belong_together(shelf: Shelf, tmp_path: Path) -> None:
    versions = [shelf.add(issued(tmp_path)) for _ in range(2)]
    shelf.point(versions[0])
    over = threading.Event()

    def swap() -> None:
        for number in range(300):
            shelf.point(versions[number % 2])
        over.set()

    turning = threading.Thread(target=swap)
    turning.start()
    seen = set()
    while not over.is_set():
        place = (shelf.directory / "current").resolve()  # what a reader of one file sees
        found = pair((place / "fullchain.pem").read_bytes(), (place / "privkey.pem").read_bytes(), "reader")
        seen.add(found.leaf.serial)
        assert (shelf.directory / "combined.pem").read_bytes().count(b"PRIVATE KEY") == 2
    turning.join()
    assert seen <= set(versions)


def test_adding_again_changes_nothing(shelf: Shelf, tmp_path: Path) -> None:
    made = issued(tmp_path)
    version = shelf.add(made)
    draft = shelf.directory / "versions" / f".{version}.{os.getpid()}"
    draft.mkdir()
    (draft / "half").write_text("of a killed run")
    assert shelf.add(made) == version
    assert not draft.exists()
    assert shelf.read(version) == made


def test_old_versions_go_and_the_one_in_place_stays(shelf: Shelf, tmp_path: Path) -> None:
    versions = [shelf.add(issued(tmp_path)) for _ in range(KEPT + 3)]
    for age, version in enumerate(reversed(versions)):
        os.utime(shelf.directory / "versions" / version, (1e9 - age, 1e9 - age))
    shelf.point(versions[0])
    (shelf.directory / "versions" / ".draft.1").mkdir()
    shelf.prune()
    left = {path.name for path in (shelf.directory / "versions").iterdir()}
    assert left == {versions[0], *versions[-KEPT + 1 :]}


def test_somebody_else_s_file_is_left_alone(shelf: Shelf, tmp_path: Path) -> None:
    shelf.directory.mkdir()
    (shelf.directory / "privkey.pem").write_text("theirs")
    with pytest.raises(MainstayError, match="somebody else's"):
        shelf.point(shelf.add(issued(tmp_path)))
    assert (shelf.directory / "privkey.pem").read_text() == "theirs"


def test_a_version_is_never_a_path(shelf: Shelf) -> None:
    with pytest.raises(MainstayError, match="no version"):
        shelf.read("../../etc")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to a group")
def test_a_group_may_read_the_key_and_nobody_else(tmp_path: Path, shelf: Shelf) -> None:
    shared = Shelf(tmp_path / "shared", "daemon")
    before = os.umask(0o077)  # as the unit of systemd sets it
    try:
        shared.point(shared.add(issued(tmp_path)))
    finally:
        os.umask(before)
    way = [shared.directory, shared.directory / "versions", (shared.directory / "current").resolve()]
    assert [stat.S_IMODE(each.stat().st_mode) for each in way] == [0o755] * 3
    found = (shared.directory / "privkey.pem").stat()
    assert stat.S_IMODE(found.st_mode) == 0o640
    import grp

    assert found.st_gid == grp.getgrnam("daemon").gr_gid
    with pytest.raises(MainstayError, match="no group nobody-of-that-name"):
        Shelf(tmp_path / "other", "nobody-of-that-name").add(issued(tmp_path))


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = issued(tmp_path), issued(tmp_path)
    with pytest.raises(MainstayError, match="not the certificate's"):
        pair(one.certificate, other.key, "here")


def test_a_key_with_a_password_is_refused_and_never_quoted(tmp_path: Path) -> None:
    made = issued(tmp_path)
    locked = subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-v2", "aes256", "-passout", "pass:hunter22"],
        input=made.key, capture_output=True, check=True,
    ).stdout  # fmt: skip
    with pytest.raises(MainstayError, match="without a password") as refused:
        pair(made.certificate, locked, "here")
    body = re.sub(rb"-----.*?-----|\s", b"", locked)[:40].decode()
    assert body not in str(refused.value)


@pytest.mark.parametrize(
    "text", [b"", b"no pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(MainstayError, match=r"here: .*certificate"):
        pair(text, issued(tmp_path).key, "here")
