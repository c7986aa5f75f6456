"""Write the generated parts of the README and of docs/, or check that they are up to date.

A part lies between two comments, and everything between them is replaced::

    <!-- generated: methods -->
    ...
    <!-- end -->

To add a part, add a function with the decorator ``@part`` below; the part has its name, with hyphens.

    python .ci/parts.py --check      print the differences and exit with code 1 if a part is out of date
    python .ci/parts.py --write      write all parts
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "kernels", ROOT / "cli", ROOT / "docs" / "hooks"):
    sys.path.insert(0, str(folder))

PARTS: dict[str, Callable[[], str]] = {}
_BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
_MARK = re.compile(r"<!-- (?:generated: [\w-]+|end) -->")
_WIDTH = 96


class MarkError(Exception):
    """The marks are not in pairs, or name an unknown part."""


def part(make: Callable[[], str]) -> Callable[[], str]:
    """Register the function that generates a part."""
    PARTS[make.__name__.replace("_", "-")] = make
    return make


@part
def help() -> str:
    """The help of every command, and of one method for each group; other methods have their own pages."""
    from xaionnx_cli.app import main

    context = click.Context(main, info_name="xaionnx", terminal_width=_WIDTH, help_option_names=["-h", "--help"])
    blocks = [("xaionnx", main.get_help(context))]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None  # the name came from the list
        inner = click.Context(command, info_name=name, parent=context, terminal_width=_WIDTH)
        blocks.append((f"xaionnx {name}", command.get_help(inner)))
        if isinstance(command, click.Group):
            listed = command.list_commands(inner)
            method = next((name for name in ("rise", "saliency", "channel") if name in listed), listed[0])
            chosen = command.get_command(inner, method)
            assert chosen is not None
            deeper = click.Context(chosen, info_name=method, parent=inner, terminal_width=_WIDTH)
            blocks.append((f"xaionnx {name} {method}", chosen.get_help(deeper)))
    return "\n\n".join(f"## {line}\n\n```text\n$ {line} --help\n{text}\n```" for line, text in blocks)


@part
def metrics() -> str:
    """The metrics by category, with what is better and their sources."""
    from xaionnx.evaluation.metric import METRICS

    better = {"higher": "higher", "lower": "lower", "none": ""}
    lines = ["| metric | category | what it says | better | controls | source |", "|---|---|---|---|---|---|"]
    for kind in sorted(METRICS.kinds(), key=lambda kind: (kind.category(), kind.name())):
        controls = ", ".join(f"`{name}`" for name in kind.controls)
        row = (f"`{kind.name()}`", kind.category(), kind.says(), better[kind.direction], controls, kind.reference)
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


@part
def families() -> str:
    """The methods by family, with links to their files."""
    import methods as site

    lines = []
    for family, names in site.families().items():
        linked = ", ".join(f"[`{name}`](xaionnx/explainers/{name}.py)" for name in names)
        lines.append(f"- **{family}**: {linked}")
    return "\n".join(lines)


@part
def choice() -> str:
    """The table for choosing a method: its needs, meaning, cost and axioms."""
    import methods as site

    return site.table()


@part
def methods() -> str:
    """The table of all methods."""
    from xaionnx_cli.methods import markdown

    return markdown()


@part
def ops() -> str:
    """The support of each op by gradients."""
    from xaionnx.autodiff.support import markdown

    return markdown()


@part
def mosaics() -> str:
    """The localisation score of each method on mosaics."""
    from tests.localisation.mosaics import markdown

    return markdown()


@part
def above_data() -> str:
    """How large units are for pictures that were found, and for photographs."""
    from tests.optimization.above_data import markdown

    return markdown()


@part
def photographs() -> str:
    """The scores of each method on labelled photographs."""
    from tests.evaluation.photos import markdown

    return markdown()


@part
def roles() -> str:
    """What each method makes of models in which each role of an axis stands at each place."""
    from tests.contracts.axes_cells import markdown

    return markdown()


@part
def deployed() -> str:
    """The agreement of explanations of optimised, quantised and narrow files with those of their source."""
    from tests.deployed.forms import markdown

    return markdown()


@part
def determinism() -> str:
    """How far results in other batches, threads, orders and processes lie apart."""
    from tests.determinism.settings import markdown

    return markdown()


@part
def standard_errors() -> str:
    """How often values lie within 1.96 of their standard errors."""
    from tests.standard_errors.coverage import markdown

    return markdown()


@part
def real_models() -> str:
    """What ten methods do on models that packages of others ship."""
    from tests.real.table import markdown

    return markdown()


@part
def peers() -> str:
    """The agreement of methods with other libraries."""
    from tests.goldens.peers import markdown

    return markdown()


@part
def bench() -> str:
    """The cost of each method relative to the bare session."""
    from tests.bench.table import markdown

    return markdown()


def filled(text: str) -> str:
    """Return ``text`` with every part generated anew.

    Raises
    ------
    MarkError
        The marks are not in pairs, or name an unknown part.
    """
    whole = [mark for block in _BLOCK.finditer(text) for mark in _MARK.findall(block[0])]
    if whole != _MARK.findall(text) or len(whole) != 2 * len(_BLOCK.findall(text)):
        raise MarkError("Each '<!-- generated: NAME -->' needs its own '<!-- end -->'. Fix the marks.")

    def generated(block: re.Match[str]) -> str:
        if block["name"] not in PARTS:
            raise MarkError(f"No generated part '{block['name']}'. Known: {', '.join(sorted(PARTS))}.")
        return f"{block[1]}\n{PARTS[block['name']]()}\n\n{block[4]}"

    return _BLOCK.sub(generated, text)


def files() -> list[Path]:
    """The README and all pages of docs/ with generated parts."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(page for page in pages if _MARK.search(page.read_text(encoding="utf-8")))]


def run(arguments: list[str] | None = None) -> int:
    """Check or write the parts, and return the exit code."""
    parser = argparse.ArgumentParser(description="Generated parts of the README and of docs/.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="print the differences and fail if a part is out of date")
    choice.add_argument("--write", action="store_true", help="write all parts")
    parser.add_argument("files", nargs="*", type=Path, help="default: the README and the pages of docs/")
    given = parser.parse_args(arguments)
    return max(_check_or_write(file, write=given.write) for file in given.files or files())


def _check_or_write(file: Path, *, write: bool) -> int:
    """Check or write one file, and return the exit code."""
    old = file.read_text(encoding="utf-8")
    try:
        new = filled(old)
    except MarkError as error:
        print(f"{file.name}: {error}", file=sys.stderr)
        return 1
    if write:
        file.write_text(new, encoding="utf-8")
        return 0
    shown = difflib.unified_diff(old.splitlines(), new.splitlines(), file.name, "the code", lineterm="", n=1)
    for line in shown:
        print(line)
    if old != new:
        print("Run 'python .ci/parts.py --write'.", file=sys.stderr)
    return int(old != new)


if __name__ == "__main__":
    sys.exit(run())
