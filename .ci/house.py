"""Measure the structure of the code: the rooms, the direction of imports, the depth of classes, and the prose.

    python .ci/house.py                        the figures of the working tree
    python .ci/house.py --against REVISION     compared with those of an earlier revision
    python .ci/house.py --list                 with the findings behind the figures
    python .ci/house.py --sentences 60         with random sentences of docstrings (--seed), to be read aloud

A room is a folder or file directly in ``xaionnx``, or a private folder of ``explainers``; the kernels and the command
line are one room each. There is an arrow from one room to another if a file of the first imports from the second at
run time.

Files are parsed, not imported, so that any revision can be measured.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("xaionnx", "kernels/xaionnx_kernels", "cli/xaionnx_cli")
OPS = ("Reshape", "Conv", "MatMul", "Softmax")
LIMITS = ("lint.mccabe.max-complexity=12", "lint.pylint.max-args=7")
_IGNORED = re.compile(r"#\s*(?:noqa|type: ignore)(?:: ?[A-Z0-9, ]+|\[[\w, -]+\])?(?P<reason>.*)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_PROSE = re.compile(r"[A-Z`*].{20,}[.!?]", re.DOTALL)

Arrow = tuple[str, str]


class Class(NamedTuple):
    """The bases defined in this repository, by full name, and the methods of a class."""

    bases: list[str]
    methods: dict[str, ast.FunctionDef]


class Module:
    """A parsed source file."""

    def __init__(self, path: Path, root: Path) -> None:
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts[1:] if parts[0] in ("kernels", "cli") else parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree, walked once for all figures."""
        return list(ast.walk(self.tree))

    @cached_property
    def room(self) -> str:
        parts = self.name.split(".")
        if parts[0] != "xaionnx":
            return parts[0]
        folder = parts if self.is_package else parts[:-1]
        inner = folder[1:2] == ["explainers"] and len(folder) > 2 and folder[2].startswith("_")
        return ".".join(parts[: 3 if inner else 2])

    @cached_property
    def imports(self) -> list[tuple[str, str, str]]:
        """All imports at run time: the module, the imported name (or ""), and its local name."""
        skipped = {
            id(inner)
            for node in self.nodes
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for part in node.body
            for inner in ast.walk(part)
        }
        found = []
        for node in self.nodes:
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Import):
                found += [(alias.name, "", alias.asname or alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [(node.module or "", alias.name, alias.asname or alias.name) for alias in node.names]
        return [entry for entry in found if entry[0].startswith("xaionnx")]


class House:
    """All source files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        paths = sorted(path for source in SOURCES for path in (root / source).rglob("*.py"))
        self.modules = {module.name: module for module in (Module(path, root) for path in paths)}

    def targets(self, module: Module) -> Iterator[str]:
        """Yield the names of the modules that a module imports."""
        for name, inner, _ in module.imports:
            yield f"{name}.{inner}" if f"{name}.{inner}" in self.modules else name

    @cached_property
    def rooms(self) -> list[str]:
        return sorted({module.room for module in self.modules.values()})

    @cached_property
    def folders(self) -> set[str]:
        """Rooms with several files."""
        return {room for room in self.rooms if room != "xaionnx" and self.modules[room].is_package}

    @cached_property
    def arrows(self) -> set[Arrow]:
        return {
            (module.room, self.modules[target].room)
            for module in self.modules.values()
            for target in self.targets(module)
            if target in self.modules and self.modules[target].room != module.room
        }

    @cached_property
    def back(self) -> list[Arrow]:
        """A smallest set of arrows whose removal leaves no cycle."""
        in_cycles = [arrow for arrow in sorted(self.arrows) if _reaches(self.arrows, arrow[1], arrow[0])]
        for count in range(len(in_cycles) + 1):
            for removed in itertools.combinations(in_cycles, count):
                left = self.arrows - set(removed)
                if not any(_reaches(left, end, start) for start, end in set(in_cycles) - set(removed)):
                    return list(removed)
        raise AssertionError("without arrows there is no cycle")

    @cached_property
    def private(self) -> list[str]:
        """Imports of a private module from outside its package."""
        found = []
        for module in self.modules.values():
            for target in self.targets(module):
                parts = target.split(".")
                for end, part in enumerate(parts):
                    owner = ".".join(parts[:end])
                    if part.startswith("_") and not f"{module.name}.".startswith(f"{owner}."):
                        found.append(f"{module.name} imports {target}")
                        break
        return sorted(set(found))

    @cached_property
    def classes(self) -> dict[str, Class]:
        """All classes by full name."""
        nodes = {
            f"{module.name}.{node.name}": (module, node)
            for module in self.modules.values()
            for node in module.nodes
            if isinstance(node, ast.ClassDef)
        }
        found = {}
        for name, (module, node) in nodes.items():
            bases = [self._resolved(base, module, nodes.keys()) for base in node.bases]
            methods = {inner.name: inner for inner in node.body if isinstance(inner, ast.FunctionDef)}
            found[name] = Class([base for base in bases if base is not None], methods)
        return found

    def _resolved(self, base: ast.expr, module: Module, known: Sequence[str] | set[str]) -> str | None:
        word = ast.unparse(base).partition("[")[0]
        if f"{module.name}.{word}" in known:
            return f"{module.name}.{word}"
        last = word.rpartition(".")[2]
        for origin, inner, here in module.imports:
            if here == word.partition(".")[0]:
                if f"{origin}.{last}" in known:
                    return f"{origin}.{last}"
                # A package may re-export a class of one of its files.
                below = [name for name in known if name.startswith(f"{origin}.") and name.endswith(f".{inner or last}")]
                return below[0] if below else None
        return None

    def depth(self, name: str) -> int:
        """Length of the longest chain of our own base classes, including the class itself."""
        return 1 + max((self.depth(base) for base in self.classes[name].bases), default=0)

    def ancestors(self, name: str) -> list[str]:
        """All base classes of our own, the nearest first."""
        found: list[str] = []
        for base in self.classes[name].bases:
            found += [base, *self.ancestors(base)]
        return list(dict.fromkeys(found))

    @cached_property
    def overridden(self) -> list[str]:
        """Concrete methods that a subclass overrides, except hooks and special methods."""
        found = []
        for name, described in self.classes.items():
            for method in described.methods:
                if method.startswith("__"):
                    continue
                first = next((up for up in self.ancestors(name) if method in self.classes[up].methods), None)
                if first is not None and _is_concrete(self.classes[first].methods[method]):
                    found.append(f"{_short(name)}.{method} overrides that of {_short(first)}")
        return sorted(found)

    def spelling(self, op: str) -> list[str]:
        """Modules that spell the name of an op."""
        return [module.name for module in self.modules.values() if f'"{op}"' in module.text]

    @cached_property
    def over_the_limits(self) -> list[str]:
        chosen = [part for limit in LIMITS for part in ("--config", limit)]
        command = ["ruff", "check", "--isolated", "--select", "C901,PLR0913", "--output-format", "json", *chosen]
        done = subprocess.run(
            [sys.executable, "-m", *command, *SOURCES], cwd=self.root, capture_output=True, text=True, check=False
        )
        return [
            f"{Path(entry['filename']).relative_to(self.root.resolve())}:{entry['location']['row']} {entry['message']}"
            for entry in json.loads(done.stdout)
        ]

    @cached_property
    def free_types(self) -> int:
        """Number of uses of ``Any``."""
        return sum(
            isinstance(node, ast.Name) and node.id == "Any" for module in self.modules.values() for node in module.nodes
        )

    @cached_property
    def any_without_reason(self) -> list[str]:
        """Uses of Any without a comment beside them, or on the lines above."""
        found = []
        for module in self.modules.values():
            lines = ["", *module.text.splitlines()]
            for node in module.nodes:
                if isinstance(node, ast.Name) and node.id == "Any":
                    above = lines[node.lineno - 1].strip()
                    beside = _IGNORED.sub(lambda match: match["reason"], lines[node.lineno]).partition("#")[2]
                    if not beside.strip() and not above.startswith("#"):
                        found.append(f"{module.name}:{node.lineno} {lines[node.lineno].strip()}")
        return sorted(set(found))

    @cached_property
    def without_reason(self) -> list[str]:
        """Suppressed findings of ruff and mypy that give no reason."""
        return [
            f"{module.name}:{number} {line.strip()}"
            for module in self.modules.values()
            for number, line in enumerate(module.text.splitlines(), 1)
            if (match := _IGNORED.search(line)) and not match["reason"].strip(" #-")
        ]

    def sentences(self) -> list[str]:
        """The sentences of all docstrings, without examples, equations and sections."""
        found = []
        for module in self.modules.values():
            for node in module.nodes:
                if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    continue
                for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                    if ">>>" in paragraph or "\n---" in paragraph or paragraph.startswith((" ", "..")):
                        continue
                    said = [" ".join(sentence.split()) for sentence in _SENTENCE.split(paragraph)]
                    place = f"{module.name}.{node.name}" if hasattr(node, "name") else module.name
                    found += [f"{place}: {sentence}" for sentence in said if _PROSE.fullmatch(sentence)]
        return found

    def figures(self) -> dict[str, int]:
        readme = self.root / "README.md"
        depths = [self.depth(name) for name in self.classes]
        return {
            "rooms": len(self.rooms),
            "  of these folders": len(self.folders),
            "arrows between rooms": len(self.arrows),
            "  of these between folders": sum(set(arrow) <= self.folders for arrow in self.arrows),
            "arrows back up": len(self.back),
            "private imports from outside": len(self.private),
            "deepest class tree": max(depths),
            "classes deeper than three": sum(depth > 3 for depth in depths),
            "most classes of ours in one MRO": max(1 + len(self.ancestors(name)) for name in self.classes),
            "concrete methods overridden, not hooks": len(self.overridden),
            **{f"files that spell {op}": len(self.spelling(op)) for op in OPS},
            "functions over the limits": len(self.over_the_limits),
            "ignores without a reason": len(self.without_reason),
            "Any": self.free_types,
            "Any without a reason": len(self.any_without_reason),
            "lines of README.md": len(readme.read_text(encoding="utf-8").splitlines()),
            "lines of code": sum(len(module.text.splitlines()) for module in self.modules.values()),
        }

    def details(self) -> dict[str, list[str]]:
        """The findings behind the figures that should be zero or small."""
        deep = sorted(
            f"{self.depth(name)}: {' < '.join(map(_short, [name, *self.ancestors(name)]))}"
            for name in self.classes
            if self.depth(name) > 3
        )
        return {
            "arrows back up": [" -> ".join(arrow) for arrow in self.back],
            "private imports from outside": self.private,
            "classes deeper than three": deep,
            "concrete methods overridden, not hooks": self.overridden,
            "functions over the limits": self.over_the_limits,
            "ignores without a reason": self.without_reason,
            "Any without a reason": self.any_without_reason,
        }


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _reaches(arrows: set[Arrow], start: str, end: str) -> bool:
    ways = defaultdict(list)
    for one, other in arrows:
        ways[one].append(other)
    seen, waiting = set(), [start]
    while waiting:
        room = waiting.pop()
        if room == end:
            return True
        if room not in seen:
            seen.add(room)
            waiting += ways[room]
    return False


def _is_concrete(method: ast.FunctionDef) -> bool:
    """Whether a method has a body of its own and is not marked as a hook."""
    marks = {ast.unparse(mark).partition("(")[0].rpartition(".")[2] for mark in method.decorator_list}
    if marks & {"abstractmethod", "hook", "overload"}:
        return False
    body = [
        statement
        for statement in method.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        and not isinstance(statement, ast.Pass)
    ]
    if not body:
        return False
    last = body[0]
    constant = isinstance(last, ast.Return) and (last.value is None or _is_literal(last.value))
    return not (len(body) == 1 and (constant or isinstance(last, ast.Raise)))


def _is_literal(value: ast.expr) -> bool:
    return all(
        isinstance(node, ast.Constant | ast.Tuple | ast.List | ast.Dict | ast.Load | ast.UnaryOp | ast.USub)
        for node in ast.walk(value)
    )


def _checked_out(revision: str, folder: Path) -> House:
    command = ["git", "archive", revision, "README.md", *SOURCES]
    content = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    return House(folder)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="an earlier revision to compare with")
    parser.add_argument("--list", action="store_true", help="also print the findings behind the figures")
    parser.add_argument(
        "--sentences", type=int, default=0, metavar="COUNT", help="also print random sentences of docstrings"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    house = House(ROOT)
    columns = [house.figures()]
    if given.against:
        with tempfile.TemporaryDirectory() as folder:
            columns.insert(0, _checked_out(given.against, Path(folder)).figures())
        print(f"{'':<40} {given.against[:8]:>8} {'now':>8}")
    for name in columns[-1]:
        print(f"{name:<40} " + " ".join(f"{column[name]:>8,}" for column in columns))
    for name, lines in house.details().items() if given.list else ():
        print(f"\n{name}: {len(lines)}", *lines, sep="\n  ")
    if given.sentences:
        known = house.sentences()
        print(f"\n{given.sentences} of {len(known):,} sentences, seed {given.seed}")
        for sentence in random.Random(given.seed).sample(known, min(given.sentences, len(known))):
            print(f"  {sentence}")


if __name__ == "__main__":
    main()
