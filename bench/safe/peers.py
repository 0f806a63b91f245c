"""Others who back the same database up, to the same storage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from bench.safe.warehouse import Warehouse
from tests.servers.process import identity

SCRIPT = "pg_dump -Fc, then upload"
CONFIGURATION = """
[global]
repo1-type=s3
repo1-path=/repository
repo1-s3-bucket={bucket}
repo1-s3-endpoint={host}
repo1-storage-port={port}
repo1-storage-verify-tls=n
repo1-s3-uri-style=path
repo1-s3-region=us-east-1
repo1-s3-key={access_key}
repo1-s3-key-secret={secret_key}
compress-type=zst
compress-level=3
process-max=2
start-fast=y
log-level-file=off
lock-path={base}/lock
spool-path={base}/spool
[shop]
pg1-path={data}
pg1-port={postgres}
pg1-socket-path={socket}
pg1-user=postgres
"""


@dataclass
class Script:
    """The usual script: the whole dump into a temporary file, then to the storage."""

    warehouse: Warehouse
    bucket: Mapping[str, str]
    folder: Path

    def back_up(self) -> tuple[float, int]:
        """Give its seconds and what it stored, in bytes."""
        began = time.perf_counter()
        file = self.folder / "shop.dump"
        dump = [str(self.warehouse.bin / "pg_dump"), "-Fc", "-f", str(file), "-d", self.warehouse.dsn()]
        subprocess.run(dump, check=True)
        self._upload(file)
        seconds, size = time.perf_counter() - began, file.stat().st_size
        file.unlink()
        return seconds, size

    def _upload(self, file: Path) -> None:
        if "bucket" not in self.bucket:
            with shutil.copyfile(file, self.folder / "uploaded.dump").open("rb") as uploaded:
                os.fsync(uploaded.fileno())
            return
        client = boto3.client(
            "s3", endpoint_url=self.bucket["endpoint"], aws_access_key_id=self.bucket["access_key"],
            aws_secret_access_key=self.bucket["secret_key"], region_name="us-east-1",
        )  # fmt: skip
        client.upload_file(str(file), self.bucket["bucket"], "script/shop.dump")


class PgBackRest:
    """pgBackRest beside the server, as the server's user; it speaks to S3 by TLS only."""

    def __init__(self, warehouse: Warehouse, bucket: Mapping[str, str], tls: str, folder: Path) -> None:
        self.program = shutil.which("pgbackrest")
        self.warehouse = warehouse
        self.file = folder / "pgbackrest.conf"
        where = urlsplit(tls)
        text = CONFIGURATION.format(
            bucket=bucket["bucket"], host=where.hostname, port=where.port, access_key=bucket["access_key"],
            secret_key=bucket["secret_key"], base=folder, data=warehouse.data, postgres=warehouse.port,
            socket=warehouse.base,
        )  # fmt: skip
        self.file.write_text(text)
        self.file.chmod(0o600)
        if warehouse.user:
            for path in (folder, self.file):
                os.chown(path, warehouse.user.pw_uid, warehouse.user.pw_gid)

    def prepare(self) -> None:
        """Make its repository, and have the server hand its log to it."""
        archive = f"{self.program} --config={self.file} --stanza=shop archive-push %p"
        self.warehouse.execute(f"ALTER SYSTEM SET archive_command = '{archive}'")
        self.warehouse.execute("SELECT pg_reload_conf()")
        self._run("stanza-create")

    def back_up(self, kind: str) -> tuple[float, int]:
        """Take a backup, `full` or `incr`; give its seconds and what it stored, in bytes."""
        began = time.perf_counter()
        self._run("backup", f"--type={kind}")
        seconds = time.perf_counter() - began
        (stanza,) = json.loads(self._run("info", "--output=json"))
        newest: dict[str, Any] = stanza["backup"][-1]
        assert newest["type"] == kind, newest
        return seconds, int(newest["info"]["repository"]["delta"])

    def _run(self, command: str, *options: str) -> str:
        argv = [str(self.program), f"--config={self.file}", "--stanza=shop", *options, command]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            argv, check=False, capture_output=True, text=True, cwd="/", **identity(self.warehouse.user)
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout[-800:]} {done.stderr[-800:]}")
        return done.stdout
