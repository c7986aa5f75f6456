"""``xaionnx inspect``: what is in a model, and which methods can explain it."""

from __future__ import annotations

import sys

import click


@click.command(no_args_is_help=False)
@click.argument("model", type=click.Path())
@click.option("--layers", type=click.Choice(["some", "all"]), default="some", help="List some layers, or all of them.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, ...  [default: auto]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with all layers.")
def command(model: str, layers: str, device: str, as_json: bool) -> None:
    """Show a model's inputs, outputs, ops and layers, and what can be explained."""
    from xaionnx.runtime.model import Model
    from xaionnx_cli import _census, _report

    opened = Model.load(model, device, allow_random=True)
    facts = _census.facts(opened)
    if as_json:
        sys.stdout.write(_report.dumps(facts, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_census.lines(opened, facts, every=layers == "all")) + "\n")
