"""Generate xaionnx/methods.py, the methods as typed functions, from their dataclasses; or check the file.

python .ci/signatures.py --check      print the differences and exit with code 1 if the file is out of date
python .ci/signatures.py --write      write the file
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "kernels", ROOT / "cli"):
    sys.path.insert(0, str(folder))

from xaionnx_cli._parameters import summary  # noqa: E402 - after the path to it

from xaionnx import discovery, parameters  # noqa: E402
from xaionnx import typing as aliases  # noqa: E402
from xaionnx.explainer import Explainer  # noqa: E402

FILE = ROOT / "xaionnx" / "methods.py"
_HEAD = '''"""Every method as a function, so that editors complete its settings and type checkers reject unknown ones.

``methods.lime(model, x, target, budget=500)`` is ``explain(model, x, "lime", target, budget=500)``.

These are functions instead of overloads of :func:`xaionnx.explain` because mypy, if no overload fits, lists all of them
and does not name the wrong setting. With functions it does; editors also complete the names of the methods, and help()
shows the settings of each. `Settings` has the settings of all methods, so that `explain` rejects a name that no method
has.

Generated from the dataclasses of the methods by .ci/signatures.py; change those, then run it with --write.
"""

# ruff: noqa: PLR0913 - the settings of a method, all by keyword
'''


def text() -> str:
    """The generated text of the file."""
    # Methods of other installed packages are discovered too, but do not belong in this file.
    kinds = [kind for kind in discovery.METHODS.kinds() if kind.__module__.startswith("xaionnx.")]
    functions = "\n\n\n".join(map(_function, kinds))
    settings: dict[str, list[str]] = {}
    for kind in kinds:
        for field, annotation in _annotations(kind):
            settings.setdefault(field, []).append(annotation)
    lines = [f"    {field}: {_union(each)}" for field, each in sorted(settings.items())]
    body = "class Settings(TypedDict, total=False):\n" + '    """Settings of all methods."""\n\n' + "\n".join(lines)
    written = f"{body}\n\n\n{functions}\n"
    return _formatted(f"{_HEAD}\n{_imports(written)}\n\n{written}")


def _annotations(kind: type[Explainer]) -> Iterator[tuple[str, str]]:
    """Yield each field with its annotation; a choice is a ``Literal`` of its options."""
    declared = parameters.declared(kind)
    for field in dataclasses.fields(kind):
        options = getattr(declared[field.name][0], "options", ())
        yield field.name, f"Literal[{', '.join(map(repr, options))}]" if options else str(field.type)


def _union(each: list[str]) -> str:
    """The union of several annotations, with one ``Literal`` for all options, and None last."""
    parts = list(dict.fromkeys(part for annotation in each for part in annotation.split(" | ")))
    options = [option for part in parts if part.startswith("Literal[") for option in part[8:-1].split(", ")]
    others = [part for part in parts if not part.startswith("Literal[")]
    choices = [f"Literal[{', '.join(dict.fromkeys(options))}]"] if options else []
    return " | ".join(sorted([*choices, *others], key=lambda part: part == "None"))


def _function(kind: type[Explainer]) -> str:
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    settings = [f"    {field}: {annotation} = {defaults[field]!r}," for field, annotation in _annotations(kind)]
    passed = "".join(f", {field}={field}" for field in defaults)
    return "\n".join(
        [
            f"def {kind.name()}(",
            "    model: ModelLike,",
            "    x: InputLike,",
            "    target: TargetLike = None,",
            *(["    *,", *settings] if settings else []),
            ") -> Explanation:",
            *_docstring(kind),
            f"    return explain(model, x, {kind.name()!r}, target{passed})",
        ]
    )


def _docstring(kind: type[Explainer]) -> list[str]:
    link = f"See :class:`~{kind.__module__}.{kind.__name__}`."
    first = summary(kind).replace("\\", "\\\\")
    return [f'    """{first}', "", f"    {link}", '    """']


def _imports(written: str) -> str:
    """The import statements for the names in the annotations."""
    shared = [name for name in vars(aliases) if name.endswith(("Like", "Array"))]
    used = sorted({name for name in shared if re.search(rf"\b{name}\b", written)})
    others = {"Composite": "xaionnx.autodiff.lrp"}
    own = [f"    from {module} import {name}" for name, module in others.items() if re.search(rf"\b{name}\b", written)]
    standard = ["TYPE_CHECKING", *(["Literal"] if "Literal[" in written else []), "TypedDict"]
    return "\n".join(
        [
            "from __future__ import annotations",
            "",
            f"from typing import {', '.join(standard)}",
            "",
            "from xaionnx import explain",
            "",
            "if TYPE_CHECKING:",
            *(["    from collections.abc import Sequence", ""] if re.search(r"\bSequence\b", written) else []),
            *own,
            "    from xaionnx.explanation import Explanation",
            f"    from xaionnx.typing import {', '.join(used)}",
        ]
    )


def _formatted(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FILE), "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout


def run(arguments: list[str] | None = None) -> int:
    """Check or write the file, and return the exit code."""
    parser = argparse.ArgumentParser(description="The typed entries of the methods.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="print the differences, and fail if there are any")
    choice.add_argument("--write", action="store_true", help="write the file")
    given = parser.parse_args(arguments)
    new = text()
    if given.write:
        FILE.write_text(new, encoding="utf-8")
        return 0
    old = FILE.read_text(encoding="utf-8")
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), FILE.name, "the code", lineterm="", n=1):
        print(line)
    if old != new:
        print("Run 'python .ci/signatures.py --write'.", file=sys.stderr)
    return int(old != new)


if __name__ == "__main__":
    sys.exit(run())
