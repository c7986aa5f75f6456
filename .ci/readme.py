"""Parts of README.md that are made from the code: fill them in, or check that they are as the code says.

A part stands between two comments, and everything between them is replaced::

    <!-- generated: methods -->
    ...
    <!-- end -->

A further part is a further function below with the decorator ``@part``; its name, with hyphens, is the part's name.

    python .ci/readme.py --check      exit code 1 and the difference, where a part is not what the code says
    python .ci/readme.py --write      fill all parts in
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
for folder in (ROOT, ROOT / "kernels", ROOT / "cli"):
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


def folded(title: str, text: str) -> str:
    """``text`` behind a ``title`` that a reader opens."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


@part
def help() -> str:
    """The help of every command, all but the first folded; of methods one: their options are in the part 'options'."""
    from xaionnx_cli.app import main

    context = click.Context(main, info_name="xaionnx", terminal_width=_WIDTH, help_option_names=["-h", "--help"])
    blocks = [("xaionnx --help", main.get_help(context))]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None  # the name came from the list
        inner = click.Context(command, info_name=name, parent=context, terminal_width=_WIDTH)
        blocks.append((f"xaionnx {name} --help", command.get_help(inner)))
        if isinstance(command, click.Group):
            listed = command.list_commands(inner)
            method = next((name for name in ("rise", "saliency") if name in listed), listed[0])
            chosen = command.get_command(inner, method)
            assert chosen is not None
            deeper = click.Context(chosen, info_name=method, parent=inner, terminal_width=_WIDTH)
            blocks.append((f"xaionnx {name} {method} --help", chosen.get_help(deeper)))
    shown = [(line, f"```text\n$ {line}\n{text}\n```") for line, text in blocks]
    return "\n\n".join([shown[0][1], *(folded(f"<code>{line}</code>", text) for line, text in shown[1:])])


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


@part
def options() -> str:
    """The parameters of each method, as options."""
    from xaionnx_cli._parameters import options as of

    from xaionnx import discovery

    lines = ["| method | option | meaning |", "| --- | --- | --- |"]
    for name in discovery.methods():
        context = click.Context(click.Command(name), info_name=name)
        for option in of(discovery.method(name)):
            record = option.get_help_record(context)
            assert record is not None  # none of them is hidden
            cells = (name, *(" ".join(cell.replace("|", "\\|").split()) for cell in record))
            lines.append("| `{}` | `{}` | {} |".format(*cells))
    return folded("The options of every method", "\n".join(lines))


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


def run(arguments: list[str] | None = None) -> int:
    """Check or write; the exit code."""
    parser = argparse.ArgumentParser(description="Generated parts of README.md.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="fail and show the difference where a part is stale")
    choice.add_argument("--write", action="store_true", help="fill all parts in")
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "README.md")
    given = parser.parse_args(arguments)
    old = given.file.read_text(encoding="utf-8")
    try:
        new = filled(old)
    except MarkError as error:
        print(f"{given.file.name}: {error}", file=sys.stderr)
        return 1
    if given.write:
        given.file.write_text(new, encoding="utf-8")
        return 0
    shown = difflib.unified_diff(old.splitlines(), new.splitlines(), given.file.name, "the code", lineterm="", n=1)
    for line in shown:
        print(line)
    if old != new:
        print("Run 'python .ci/readme.py --write'.", file=sys.stderr)
    return int(old != new)


if __name__ == "__main__":
    sys.exit(run())
