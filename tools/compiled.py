"""The package as it is installed where there is a C compiler: built once for each state of the sources.

    python -m tools.compiled        builds it if need be, and says where it lies

Put the directory first in `PYTHONPATH`, and its modules are imported instead of those of the checkout.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACE = ROOT / ".cache" / "compiled"


def tree() -> Path:
    """Give the directory; builds it first when the sources have changed. Raises `RuntimeError` when that fails."""
    place = PLACE / _state()
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            _build(place)
    return place


def _state() -> str:
    """Give what changes with everything that a wheel is made of."""
    files = [*(ROOT / "src").rglob("*"), ROOT / "hatch_build.py", ROOT / "pyproject.toml"]
    made = hashlib.blake2b(sys.version.encode(), digest_size=10)
    for path in sorted(files):
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            made.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return made.hexdigest()


def _build(place: Path) -> None:
    for old in PLACE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=PLACE, prefix="new-") as scratch:
        wheels, files = Path(scratch) / "wheels", Path(scratch) / "files"
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)],
            cwd=ROOT,
            env={**os.environ, "MAINSTAY_COMPILE": "yes"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the package could not be compiled:\n{done.stdout[-4000:]}")
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(files)
        files.rename(place)


if __name__ == "__main__":
    sys.stdout.write(f"{tree()}\n")
