"""Parts of the README and of docs/ that are made from the code: fill them in, or check that they are as the code says.

A part stands between two comments, and everything between them is replaced::

    <!-- generated: methods -->
    ...
    <!-- end -->

A further part is a further function below with the decorator ``@part``; its name, with hyphens, is the part's name.

    python .ci/parts.py --check      exit code 1 and the difference, where a part is not what the code says
    python .ci/parts.py --write      fill all parts in
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
    """The marks of a text do not form parts, or name one that is unknown."""


def part(make: Callable[[], str]) -> Callable[[], str]:
    """Register the maker of a part."""
    PARTS[make.__name__.replace("_", "-")] = make
    return make


@part
def help() -> str:
    """The help of every command, each under its heading; of methods one: the others' options are on their pages."""
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
            method = next((name for name in ("rise", "saliency") if name in listed), listed[0])
            chosen = command.get_command(inner, method)
            assert chosen is not None
            deeper = click.Context(chosen, info_name=method, parent=inner, terminal_width=_WIDTH)
            blocks.append((f"xaionnx {name} {method}", chosen.get_help(deeper)))
    return "\n\n".join(f"## {line}\n\n```text\n$ {line} --help\n{text}\n```" for line, text in blocks)


@part
def families() -> str:
    """The methods by family, each linked to its file."""
    import methods as site

    lines = []
    for family, names in site.families().items():
        linked = ", ".join(f"[`{name}`](xaionnx/explainers/{name}.py)" for name in names)
        lines.append(f"- **{family}**: {linked}")
    return "\n".join(lines)


@part
def choice() -> str:
    """What each method needs, means, costs and keeps."""
    import methods as site

    return site.table()


@part
def methods() -> str:
    """The table of all methods."""
    from xaionnx_cli.methods import markdown

    return markdown()


@part
def ops() -> str:
    """Which ops a gradient passes, and how."""
    from xaionnx.autodiff.support import markdown

    return markdown()


@part
def mosaics() -> str:
    """How often each method finds the tile of a mosaic that a class is in."""
    from tests.localisation.mosaics import markdown

    return markdown()


@part
def peers() -> str:
    """How close methods are to other libraries."""
    from tests.goldens.peers import markdown

    return markdown()


@part
def bench() -> str:
    """What each method costs over the bare session."""
    from tests.bench.table import markdown

    return markdown()


def filled(text: str) -> str:
    """``text`` with every part made anew.

    Raises
    ------
    MarkError
        A mark has no partner, or names an unknown part.
    """
    whole = [mark for block in _BLOCK.finditer(text) for mark in _MARK.findall(block[0])]
    if whole != _MARK.findall(text) or len(whole) != 2 * len(_BLOCK.findall(text)):
        raise MarkError("A '<!-- generated: NAME -->' and its '<!-- end -->' do not stand in pairs. Mend the marks.")

    def made(block: re.Match[str]) -> str:
        if block["name"] not in PARTS:
            raise MarkError(f"No generated part '{block['name']}'. Known: {', '.join(sorted(PARTS))}.")
        return f"{block[1]}\n{PARTS[block['name']]()}\n\n{block[4]}"

    return _BLOCK.sub(made, text)


def files() -> list[Path]:
    """The README, and the pages of docs/ that have generated parts."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(page for page in pages if _MARK.search(page.read_text(encoding="utf-8")))]


def run(arguments: list[str] | None = None) -> int:
    """Check or write; the exit code."""
    parser = argparse.ArgumentParser(description="Generated parts of the README and of docs/.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="fail and show the difference where a part is stale")
    choice.add_argument("--write", action="store_true", help="fill all parts in")
    parser.add_argument("files", nargs="*", type=Path, help="the README and the pages of docs/ if not given")
    given = parser.parse_args(arguments)
    return max(_checked(file, write=given.write) for file in given.files or files())


def _checked(file: Path, *, write: bool) -> int:
    """Check one file, or write it; the exit code."""
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
