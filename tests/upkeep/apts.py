"""A private world of apt: repositories in a directory, packages of our own, and a root that is not this machine's."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tests.servers.process import program

CONF = """
Dir "{root}";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Etc::trusted "{root}/etc/apt/trusted.gpg";
APT::Sandbox::User "root";
Debug::NoLocking "false";
"""


class World:
    """Packages have one file, a version and, where a test wants one, a configuration file."""

    def __init__(self, base: Path) -> None:
        program("apt-get", "apt")
        program("dpkg-deb", "dpkg")
        self.root = base / "root"
        self.repository = base / "repository"
        places = "etc/apt/apt.conf.d var/lib/apt/lists/partial var/cache/apt/archives/partial var/log/apt run"
        for place in f"{places} var/lib/dpkg/updates var/lib/dpkg/info".split():
            (self.root / place).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        (self.root / "var/lib/dpkg/available").touch()
        self.conf = base / "apt.conf"
        self.conf.write_text(CONF.format(root=self.root))
        self.suites: dict[str, list[str]] = {}
        self.builds = 0

    @property
    def environment(self) -> dict[str, str]:
        """What makes apt and dpkg live in this world."""
        return {"APT_CONFIG": str(self.conf), "DPKG_ROOT": str(self.root)}

    def deb(self, name: str, version: str, *, conffile: str = "", **fields: str) -> Path:
        """Build a package whose file holds its version."""
        self.builds += 1
        tree = self.repository / f"build-{self.builds}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / f"opt/{name}").mkdir(parents=True)
        (tree / f"opt/{name}/version").write_text(version)
        if conffile:
            (tree / "etc").mkdir()
            (tree / f"etc/{name}.conf").write_text(conffile)
            (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
        lines = {
            "Package": name,
            "Version": version,
            "Architecture": "all",
            "Maintainer": "A <a@example.com>",
        }
        lines |= {"Description": "a test", **{key.replace("_", "-"): value for key, value in fields.items()}}
        (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        file = self.repository / f"pool/{name}_{version}_{self.builds}_all.deb"
        file.parent.mkdir(exist_ok=True)
        self._run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(file))
        return file

    def offer(self, suite: str, *debs: Path) -> None:
        """Put packages into a suite, and publish it."""
        stanzas = self.suites.setdefault(suite, [])
        for deb in debs:
            control = self._run("dpkg-deb", "--field", str(deb)).rstrip("\n")
            data = deb.read_bytes()
            place = deb.relative_to(self.repository)
            digest = hashlib.sha256(data).hexdigest()
            stanzas.append(f"{control}\nFilename: {place}\nSize: {len(data)}\nSHA256: {digest}\n")
        self.publish(suite)

    def publish(self, suite: str) -> None:
        """Write a suite's lists."""
        home = self.repository / f"dists/{suite}"
        (home / "main/binary-all").mkdir(parents=True, exist_ok=True)
        packages = "\n".join(self.suites[suite]).encode()
        arch = self._run("dpkg", "--print-architecture").strip()
        entries = []
        for each in (arch, "all"):
            file = home / f"main/binary-{each}/Packages"
            file.parent.mkdir(exist_ok=True)
            text = packages if each == arch else b""
            file.write_bytes(text)
            entries.append(f" {hashlib.sha256(text).hexdigest()} {len(text)} main/binary-{each}/Packages")
        label = "Debian-Security" if suite.endswith("-security") else "Debian"
        head = f"Origin: Debian\nLabel: {label}\nSuite: {suite}\nCodename: {suite}\nVersion: 99\n"
        head += f"Architectures: {arch} all\nComponents: main\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        (home / "Release").write_text(head + "SHA256:\n" + "\n".join(entries) + "\n")
        sources = [f"deb [trusted=yes] file:{self.repository} {each} main" for each in self.suites]
        (self.root / "etc/apt/sources.list").write_text("\n".join(sources) + "\n")

    def install(self, *debs: Path) -> None:
        """Install packages as somebody did long ago."""
        self._run("dpkg", "--install", *(str(deb) for deb in debs))

    def apt(self, *words: str) -> str:
        """Run one of apt's programs in this world."""
        return self._run(*words)

    def version(self, name: str) -> str:
        """The version of the file that is really there."""
        return (self.root / f"opt/{name}/version").read_text()

    def _run(self, *argv: str) -> str:
        env = {**os.environ, **self.environment, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout
