"""The rules of the house which no linter knows: sizes, words that must not appear, and what `core` may import.

Each rule is a function from the repository's root to complaints, one line each: `path:line: what. hint: remedy`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
TREES = ("src", "tests", "bench", "tools", "examples")
LONGEST_FUNCTION = 60
LONGEST_MODULE = 400
CORE_MAY_IMPORT = frozenset(sys.stdlib_module_names) | {"mainstay", "pydantic", "pydantic_core", "cronsim"}
CORE_MUST_NOT = frozenset({"http", "selectors", "socket", "sqlite3", "ssl", "subprocess", "urllib"})
PURE = frozenset({"http", "urllib.parse"})

# What touches the world is made in one place, so that a test (or another machine) may put something else there.
ADAPTERS = frozenset(
    {"SystemClock", "LocalPlace", "Resolver", "Tools", "Scratch", "control_for", "open_store"}
)
# `cli` and `demo` stand above `app`; a command that only reads opens the journal itself, because it must start fast.
MAY_CONSTRUCT = ("app", "cli", "demo", "ports", "store")
# Module and function; the clock is passed in, so that tests can move it.
REAL_TIME = frozenset(
    {("time", each) for each in ("time", "time_ns", "monotonic", "perf_counter", "sleep")}
    | {("datetime", each) for each in ("now", "utcnow", "today")}
    | {("asyncio", "sleep")}
)
SLEEPS = frozenset({("time", "sleep"), ("asyncio", "sleep")})
# The clock itself; and the demonstration, whose stand-ins and measurements live in real time beside mainstay.
MAY_ASK_THE_TIME = ("ports/clock.py", "demo/")
# The one place where waiting with a pause is right, and the benches, which measure real time.
MAY_SLEEP = frozenset({"helpers.py"})

# Rooms in which modules are compiled (pyproject.toml says which).
COMPILED = re.compile(
    r"mainstay/(?:edge/(?:http|gateway|inbox|proxy)|store/(?:inbox|named|sqlite_link|writer))"
)

# Joined from halves, so that this file does not contain what it looks for.
FORBIDDEN = {
    "a path of one machine": re.compile(
        "/" + r"(?:work/(?:main|shared|\.)|root/\.|tmp/team|opt/(?:pypi|wheels))"
    ),
    "a host of a package registry": re.compile(
        r"\b(?:"
        + "|".join(["py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.(?:org|com)"])
        + r")\b"
    ),
}
# Made by uv itself: an address per file of every dependency.
GENERATED = frozenset({"uv.lock"})


def python_files(root: Path) -> Iterator[Path]:
    """Every Python file of ours, in a stable order."""
    for tree in TREES:
        yield from sorted((root / tree).rglob("*.py"))


def tracked_files(root: Path) -> list[Path]:
    """What a clone would contain: the files which git knows or would take."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return [root / name for name in names if name and (root / name).is_file()]


@cache
def tree(path: Path) -> ast.Module:
    """A file, parsed once for all rules."""
    return ast.parse(path.read_text())


def long_modules(root: Path) -> Iterator[str]:
    """Modules with more than LONGEST_MODULE lines."""
    for path in python_files(root):
        lines = len(path.read_text().splitlines())
        if lines > LONGEST_MODULE:
            yield f"{path.relative_to(root)}:1: {lines} lines, {LONGEST_MODULE} at most. hint: split by noun"


def long_functions(root: Path) -> Iterator[str]:
    """Functions with more than LONGEST_FUNCTION lines, the docstring not counted."""
    for path in python_files(root):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST_FUNCTION:
                where = f"{path.relative_to(root)}:{node.lineno}"
                yield f"{where}: {node.name} has {length(node)} lines, {LONGEST_FUNCTION} at most. hint: split it"


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; a docstring costs nothing, so that nobody saves on words."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def forbidden_words(root: Path) -> Iterator[str]:
    """Traces of one machine in files which are for all."""
    for path in tracked_files(root):
        if path.name in GENERATED:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for what, pattern in FORBIDDEN.items():
                if pattern.search(line):
                    yield f"{path.relative_to(root)}:{number}: names {what}. hint: say it without"


def impure_core(root: Path) -> Iterator[str]:
    """Imports of `core` beyond the standard library, pydantic and cronsim; and of the library's doors to the world."""
    for path in sorted((root / "src/mainstay/core").rglob("*.py")):
        for node in ast.walk(tree(path)):
            for name in imported(node):
                top = name.split(".")[0]
                if top not in CORE_MAY_IMPORT or (top in CORE_MUST_NOT and name not in PURE):
                    where = f"{path.relative_to(root)}:{getattr(node, 'lineno', 1)}"
                    yield f"{where}: core imports {name}. hint: core has no I/O; put it into ports"


def calls(path: Path) -> Iterator[tuple[ast.Call, tuple[str, str]]]:
    """Every call in a file with (module or object, name); a plain name has no object."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node, ("", node.func.id)
            elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                yield node, (node.func.value.id, node.func.attr)


def real_time(root: Path) -> Iterator[str]:
    """Product code which asks the real clock instead of the one that it was given."""
    house = root / "src/mainstay"
    for path in sorted(house.rglob("*.py")):
        excused = path.relative_to(house).as_posix().startswith(MAY_ASK_THE_TIME)
        for node, name in calls(path) if not excused else ():
            if name in REAL_TIME:
                where = f"{path.relative_to(root)}:{node.lineno}"
                yield f"{where}: calls {'.'.join(name)}. hint: use the ports.clock.Clock that you were given"


def sleeping_tests(root: Path) -> Iterator[str]:
    """Tests which hope that something will have happened by then. A sleep of zero only lets others run."""
    for path in sorted((root / "tests").rglob("*.py")):
        for node, name in calls(path) if path.name not in MAY_SLEEP else ():
            letting = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if name in SLEEPS and not letting:
                where = f"{path.relative_to(root)}:{node.lineno}"
                yield f"{where}: sleeps. hint: wait for the condition with tests.helpers.eventually"


def adapters_elsewhere(root: Path) -> Iterator[str]:
    """Adapters which are constructed by a room instead of being given to it."""
    house = root / "src/mainstay"
    for path in sorted(house.rglob("*.py")):
        if path.relative_to(house).parts[0] in MAY_CONSTRUCT:
            continue
        for node, (_, name) in calls(path):
            if name in ADAPTERS:
                where = f"{path.relative_to(root)}:{node.lineno}"
                yield f"{where}: constructs {name}. hint: app does; take it as an argument"


def reused_fault_names(root: Path) -> Iterator[str]:
    """Two kinds of fault caught under one name: where modules are compiled, the second is taken for the first."""
    for path in sorted((root / "src").rglob("*.py")):
        if not COMPILED.search(str(path)):
            continue
        for function in ast.walk(tree(path)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            kinds: dict[str, str] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None:
                    kind = ast.unparse(node.type)
                    if kinds.setdefault(node.name, kind) != kind:
                        where = f"{path.relative_to(root)}:{node.lineno}"
                        yield f"{where}: {node.name} is two kinds of fault. hint: give the second another name"


def doubled_migrations(root: Path) -> Iterator[str]:
    """Two steps of the journal's schema with one number: no journal could be opened."""
    seen: dict[str, str] = {}
    for path in sorted((root / "src/mainstay/store/migrations").glob("*.sql")):
        number = path.name.partition("_")[0]
        if seen.setdefault(number, path.name) != path.name:
            yield f"{path.relative_to(root)}:1: {number} is taken by {seen[number]}. hint: give it the next number"


def imported(node: ast.AST) -> list[str]:
    """The modules which a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module]
    return []


Rule = Callable[[Path], Iterator[str]]
RULES: tuple[Rule, ...] = (
    long_modules,
    long_functions,
    forbidden_words,
    impure_core,
    real_time,
    sleeping_tests,
    adapters_elsewhere,
    reused_fault_names,
    doubled_migrations,
)


def main() -> int:
    """The exit code: 0 when no rule complains."""
    complaints = [complaint for rule in RULES for complaint in rule(ROOT)]
    print("\n".join(complaints) or f"{len(RULES)} rules hold")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
