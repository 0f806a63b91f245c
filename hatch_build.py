"""Compiles the modules that every request passes through, when the package is built and there is a C compiler.

mypyc makes extension modules of the same files; without a compiler, or with `MAINSTAY_COMPILE=no`, they run as Python
and do the same, more slowly. `MAINSTAY_COMPILE=yes` makes a failure to compile a failure of the build. The modules are
named in pyproject.toml; a checkout that is used in place is never compiled.
"""

import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "src"
CONFIG = """[mypy]
follow_imports = silent
ignore_missing_imports = True
no_site_packages = True
"""
"""What others' packages say of their types is left aside, so that every build compiles the same."""


class CompileHook(BuildHookInterface):
    """Adds extension modules to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the files."""
        wanted = os.environ.get("MAINSTAY_COMPILE", "auto")
        if version == "editable" or wanted == "no":
            return
        self._directory = tempfile.mkdtemp(prefix="mainstay-build-")
        try:
            found = compiled(Path(self.root), self.modules(), Path(self._directory))
        except (Exception, SystemExit) as fault:  # setuptools ends the program when there is no compiler
            if wanted == "yes":
                raise
            self.app.display_warning(f"mainstay is built without compiled modules, which is slower: {fault}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update(found)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is there."""
        if hasattr(self, "_directory"):
            shutil.rmtree(self._directory, ignore_errors=True)

    def modules(self) -> list[str]:
        """Give the files that are compiled, below the sources."""
        base = Path(self.root) / SOURCES
        found = [name for pattern in self.config["modules"] for name in spelled(pattern)]
        if missing := [name for name in found if not (base / name).is_file()]:
            raise FileNotFoundError(f"pyproject.toml names what is not there: {', '.join(missing)}")
        return found


def spelled(pattern: str) -> list[str]:
    """Give the names that `a/{b,c}.py` stands for."""
    before, _, rest = pattern.partition("{")
    inside, _, after = rest.partition("}")
    return [before + each + after for each in inside.split(",")]


def compiled(root: Path, modules: list[str], directory: Path) -> dict[str, str]:
    """Compile; give where each extension module lies and where in the wheel it goes."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    config, made = directory / "mypy.ini", directory / "made"
    config.write_text(CONFIG)
    before = Path.cwd()
    os.chdir(root / SOURCES)
    try:
        extensions = mypycify(
            [f"--config-file={config}", "--cache-dir", str(directory / "types"), *modules],
            group_name="mainstay",
            opt_level="2",
            debug_level="0",
            multi_file=True,  # a file for each module is compiled in a third of the time
            target_dir=str(directory / "c"),
        )
        build = build_ext(Distribution({"name": "mainstay", "ext_modules": extensions}))
        build.build_lib, build.build_temp = str(made), str(directory / "objects")
        build.ensure_finalized()
        build.run()
    finally:
        os.chdir(before)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return {str(path): str(path.relative_to(made)) for path in made.rglob(f"*{suffix}")}
