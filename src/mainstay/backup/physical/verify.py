"""Every file of an unpacked base backup against PostgreSQL's own list of them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainstay.backup.physical.base import MANIFEST

MAY_DIFFER = ("postgresql.auto.conf", "recovery.signal", "standby.signal")
SHOWN = 3


def differences(folder: Path) -> list[str]:
    """Say which files are missing, of another size or of other content than the list says, the first few of them.

    pg_verifybackup does the same and finds strangers, too; this is for where it does not work.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    found = []
    for fault in _faults(folder, manifest["Files"]):
        found.append(fault)
        if len(found) == SHOWN:
            break
    return found


def _faults(folder: Path, files: list[dict[str, Any]]) -> Iterator[str]:
    for each in files:
        name = each.get("Path") or bytes.fromhex(each["Encoded-Path"]).decode(errors="surrogateescape")
        if name in MAY_DIFFER:
            continue
        file = folder / name
        if not file.is_file():
            yield f"{name} is missing"
        elif file.stat().st_size != each["Size"]:
            yield f"{name} has {file.stat().st_size:,} bytes instead of {each['Size']:,}"
        elif each.get("Checksum-Algorithm") == "SHA256" and _sha256(file) != each["Checksum"]:
            yield f"{name} has another checksum"


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
