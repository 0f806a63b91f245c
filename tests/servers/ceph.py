"""A real S3 server: one node of Ceph with its RADOS gateway. Signatures, policies and locks are in earnest."""

from __future__ import annotations

import json
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from mainstay.core.secret import Secret
from mainstay.ports.objects.s3 import S3
from tests.servers.authority import Authority
from tests.servers.process import LOOPBACK, Engine, accepts, free_port, program

PACKAGES = "radosgw ceph-mon ceph-osd ceph-mgr ceph-common"
CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}]
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
mon allow pool size one = true
mon data avail crit = 1
osd crush chooseleaf type = 0
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
admin socket = {base}/run/$cluster-$name-$pid.asok
log file = {base}/log/$name.log
keyring = {base}/keyring
mon data = {base}/mon
mgr data = {base}/mgr
mgr initial modules =
osd data = {base}/osd
osd objectstore = bluestore
bluestore block size = 21474836480
bluestore block create = true
osd memory target = 939524096
[client.rgw]
rgw data = {base}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}{tls}
"""


class CephServer:
    """`endpoint` with the keys of an account that owns the buckets; further accounts by `account`."""

    def __init__(self, base: Path, *, tls: bool = False) -> None:
        self.base = base
        for name in (
            "ceph-mon",
            "ceph-mgr",
            "ceph-osd",
            "radosgw",
            "radosgw-admin",
            "monmaptool",
            "ceph-authtool",
        ):
            program(name, PACKAGES)
        for name in ("mon", "osd", "mgr", "run", "log", "rgw"):
            (base / name).mkdir()
        self.fsid = str(uuid.uuid4())
        self.mon, self.port = free_port(), free_port()
        self.config = base / "ceph.conf"
        self.tls_port = free_port() if tls else None
        self.config.write_text(
            CONFIG.format(fsid=self.fsid, mon=self.mon, base=base, port=self.port, tls=self._tls())
        )
        self.engines: list[Engine] = []
        self.names = 0
        try:
            self._start()
            self.keys = self.account("owner")
        except BaseException:
            self.stop()
            raise

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def tls_endpoint(self) -> str:
        """The same server, encrypted; its certificate is from an authority that nobody knows."""
        return f"https://{LOOPBACK}:{self.tls_port}"

    def _tls(self) -> str:
        if self.tls_port is None:
            return ""
        chain, key = Authority(self.base).issue()
        both = f"ssl_certificate={chain} ssl_private_key={key}"
        return f" ssl_endpoint={LOOPBACK}:{self.tls_port} {both}"

    def _start(self) -> None:
        self._keyring()
        self._do(
            "monmaptool",
            "--create",
            "--addv",
            "a",
            f"[v2:127.0.0.1:{self.mon}]",
            "--fsid",
            self.fsid,
            "monmap",
        )
        self._do(
            "ceph-mon", "-c", self.config, "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "keyring"
        )
        (self.base / "mon/keyring").write_bytes((self.base / "keyring").read_bytes())
        self._serve("ceph-mon", "-i", "a").ready(lambda: accepts(self.mon))
        self._ceph("auth", "import", "-i", "keyring")
        self._serve("ceph-mgr", "-i", "x")
        osd = str(uuid.uuid4())
        self._ceph("osd", "new", osd)
        self._do("ceph-osd", "-c", self.config, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._serve("ceph-osd", "-i", "0")
        for ratio in ("full", "backfillfull", "nearfull"):
            self._ceph("osd", f"set-{ratio}-ratio", {"full": ".98", "backfillfull": ".97"}.get(ratio, ".95"))
        self._serve("radosgw", "-n", "client.rgw").ready(lambda: accepts(self.port), 90)

    def _keyring(self) -> None:
        make = ("ceph-authtool", "keyring", "--gen-key", "-n")
        caps = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self._do(
            "ceph-authtool",
            "--create-keyring",
            "keyring",
            "--gen-key",
            "-n",
            "mon.",
            "--cap",
            "mon",
            "allow *",
        )
        for name in ("client.admin", "mgr.x", "osd.0", "client.rgw"):
            self._do(*make, name, *caps)

    def _do(self, *argv: object) -> str:
        done = subprocess.run(
            [str(each) for each in argv],
            cwd=self.base,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{argv}: {done.stderr}")
        return done.stdout

    def _ceph(self, *argv: object) -> None:
        self._do("ceph", "-c", self.config, *argv)

    def _serve(self, name: str, *argv: str) -> Engine:
        engine = Engine(
            [program(name, PACKAGES), "-c", str(self.config), *argv, "-f"], self.base / f"{name}.out"
        )
        self.engines.append(engine)
        return engine

    def account(self, name: str) -> tuple[str, str]:
        """Make an account; give its key's name and its key."""
        keys = f"AK{name.upper()}", f"SK{name}{uuid.uuid4().hex}"
        self._do(
            "radosgw-admin", "-c", self.config, "-n", "client.rgw", "user", "create", f"--uid={name}",
            f"--display-name={name}", f"--access-key={keys[0]}", f"--secret-key={keys[1]}",
        )  # fmt: skip
        return keys

    def client(self) -> Any:
        """A client of the owner's, for a look at what is really there."""
        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.keys[0], aws_secret_access_key=self.keys[1],
            region_name="us-east-1", config=botocore.config.Config(retries={"max_attempts": 1}),
        )  # fmt: skip

    def bucket(self, *, lock: bool = False) -> str:
        """A new and empty bucket."""
        self.names += 1
        name = f"bucket-{self.names}"
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        return name

    def allow(self, bucket: str, account: str, *actions: str, deny: str = "") -> None:
        """Let another account do these things in a bucket; what it wrote itself it may read unless that is denied."""
        told = [("Allow", actions), *([("Deny", (deny,))] if deny else [])]
        statements = [
            {
                "Effect": effect,
                "Principal": {"AWS": [f"arn:aws:iam:::user/{account}"]},
                "Action": [f"s3:{action}" for action in which],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
            for effect, which in told
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.client().put_bucket_policy(Bucket=bucket, Policy=policy)

    def storage(self, bucket: str, keys: tuple[str, str] | None = None, **options: Any) -> S3:
        """A bucket as a storage, with the owner's keys or another account's."""
        name, key = keys or self.keys
        return S3(
            bucket=bucket, endpoint=self.endpoint, access_key=Secret("key", name), secret_key=Secret("secret", key),
            **options,
        )  # fmt: skip

    def stop(self) -> None:
        for engine in reversed(self.engines):
            engine.kill()


def serve() -> Iterator[CephServer]:
    """The life of a server, for a fixture."""
    with tempfile.TemporaryDirectory(prefix="mainstay-ceph-", ignore_cleanup_errors=True) as directory:
        server = CephServer(Path(directory))
        try:
            yield server
        finally:
            server.stop()
