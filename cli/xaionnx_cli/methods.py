"""``xaionnx methods``: list all methods, as text, JSON or Markdown."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from xaionnx.typing import Document


def table() -> list[Document]:
    """Return a row for each method: name, needs, axioms, reference and summary."""
    from xaionnx import discovery
    from xaionnx_cli._parameters import summary

    rows = []
    for name in discovery.methods():
        method = discovery.method(name)
        rows.append(
            {
                "name": name,
                "needs": method.needs,
                "axioms": list(method.axioms),
                "reference": method.reference,
                "summary": summary(method),
            }
        )
    return rows


def markdown() -> str:
    """The table in GitHub's Markdown."""
    lines = ["| method | what comes out | needs | axioms | after |", "| --- | --- | --- | --- | --- |"]
    for row in table():
        cells = [f"`{row['name']}`", row["summary"], row["needs"], ", ".join(row["axioms"]) or "none", row["reference"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
def command(as_json: bool, as_markdown: bool) -> None:
    """List the methods: their output, what they need from a model, and their axioms."""
    if as_json and as_markdown:
        raise click.UsageError("Choose one of --json and --markdown", click.get_current_context())
    if as_json:
        sys.stdout.write(json.dumps(table(), indent=2) + "\n")
    elif as_markdown:
        sys.stdout.write(markdown() + "\n")
    else:
        sys.stdout.write("\n\n".join(map(_block, table())) + "\n")


def _block(row: Document) -> str:
    width = min(shutil.get_terminal_size().columns, 100)
    facts = (("needs", row["needs"]), ("axioms", ", ".join(row["axioms"]) or "none"), ("after", row["reference"]))
    lines = [row["name"], textwrap.fill(row["summary"], width, initial_indent="  ", subsequent_indent="  ")]
    for word, fact in facts:
        start = f"    {word:<8}"
        lines.append(textwrap.fill(fact, width, initial_indent=start, subsequent_indent=" " * len(start)))
    return "\n".join(lines)
