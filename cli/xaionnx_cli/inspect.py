"""``xaionnx inspect``: describe a model, and report which methods can explain it."""

from __future__ import annotations

import sys

import click

from xaionnx_cli._options import TIMEOUT_HELP, FilePath, Seconds


@click.command(no_args_is_help=False)
@click.argument("model", type=FilePath())
@click.option(
    "--layers",
    type=click.Choice(["some", "all"]),
    default="some",
    help="List some of the layers, or all.  [default: some]",
)
@click.option("--device", default="auto", metavar="NAME", help="The device: auto, cpu, cuda, ...  [default: auto]")
@click.option(
    "--limit",
    type=click.FloatRange(min=0),
    default=2.0,
    metavar="SECONDS",
    help="Seconds for trying each method on a sample of noise; 0 tries none.  [default: 2]",
)
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help=TIMEOUT_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with all layers.")
def command(model: str, layers: str, device: str, limit: float, timeout: float | None, as_json: bool) -> None:
    """Describe a model: inputs, outputs, ops, layers, and what comes of each method on a sample of noise."""
    from xaionnx.runtime.model import Model
    from xaionnx_cli import _inspection, _report
    from xaionnx_cli._deadline import time_limit, time_limit_between_runs
    from xaionnx_cli._messages import write_lines

    with time_limit(timeout, f"Opening {model}"):
        opened = Model.load(model, device, timeout_s=timeout, allow_random=True)
    with time_limit_between_runs(timeout, f"A step of inspecting {model}"):
        facts = _inspection.model_facts(opened, limit)
    if as_json:
        sys.stdout.write(_report.dump_json(facts, indent=2) + "\n")
    else:
        write_lines(_inspection.lines(opened, facts, every=layers == "all"))
