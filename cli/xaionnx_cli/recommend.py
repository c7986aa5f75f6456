"""``xaionnx recommend``: the method to trust for a model and its inputs, at each price."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from xaionnx_cli import _overwriting
from xaionnx_cli._options import TIMEOUT_HELP, OptionValue, RowsOption, Seconds
from xaionnx_cli.evaluate import USUAL, names_of, report_place, save_report

if TYPE_CHECKING:
    from xaionnx.data.row_numbers import RowNumbers
    from xaionnx.evaluation import Recommendation

_SAID: Final = 5


@dataclass(frozen=True)
class Request:
    """The options of ``xaionnx recommend``."""

    model: str
    inputs: str
    budget: float
    methods: str
    metrics: str
    save: str | None
    target: str | None
    rows: RowNumbers | None
    seed: int
    device: str
    spec: str | None
    timeout: float | None
    force: bool
    as_json: bool


@click.command(no_args_is_help=False)
@click.argument("model", type=click.Path())
@click.argument("inputs", type=click.Path())
@click.option(
    "--budget", type=Seconds(), default="10m", show_default=True, metavar="TIME", help="Time, such as 90s or 10m."
)
@click.option("--methods", default="all", show_default=True, metavar="NAME,...", help="The candidates.")
@click.option("--metrics", default=USUAL, show_default=True, metavar="NAME,...", help="What they are judged by.")
@click.option("-o", "--save", "save", metavar="FILE", help="The evidence: .html to read, .json or .csv to go on with.")
@click.option("-t", "--target", "target", metavar="TARGET", help="What is explained.  [default: the top class]")
@click.option("--rows", type=RowsOption(), metavar="ROWS", help="Rows of a table, from 0: 17 or 17,20-30.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the controls.")
@click.option("--device", default="auto", metavar="NAME", help="The device: auto, cpu, cuda, ...  [default: auto]")
@click.option("--spec", metavar="FILE", help="The InputSpec to use instead of the .toml file beside the model.")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help=TIMEOUT_HELP)
@click.option("--force", is_flag=True, help=_overwriting.HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(**given: OptionValue) -> None:
    """Name the method to trust for a model and its inputs, at each price.

    \b
    xaionnx recommend MODEL.onnx PHOTOS/ --budget 10m

    All methods are scored on two inputs, and the better half of those of about the same price on twice as many, until
    the inputs or the time are used up. A method whose maps do not change with the weights of the model is never named.
    """
    from xaionnx import InputSpec, Model
    from xaionnx.discovery import METHODS
    from xaionnx.evaluation import recommend
    from xaionnx.evaluation.metric import METRICS
    from xaionnx_cli import _report, _targets
    from xaionnx_cli._deadline import time_limit, time_limit_between_runs
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._progress import progress_bar

    request = Request(**given)
    methods, metrics = names_of(request.methods, METHODS), names_of(request.metrics, METRICS)
    place = report_place(request.save, (request.model, request.inputs, request.spec), request.force)
    spec = None if request.spec is None else InputSpec.read(request.spec)
    with time_limit(request.timeout, f"Opening {request.model}"):
        model = Model.load(request.model, request.device, timeout_s=request.timeout, spec=spec)
        target = _targets.read_targets((request.target,) if request.target else (), None, model)
    inputs = model.read(Path(request.inputs), rows=request.rows)
    with progress_bar() as bar, time_limit_between_runs(request.timeout, "A metric", bar):
        found = recommend(
            model, inputs, budget_s=request.budget, methods=methods, metrics=metrics, target=target, seed=request.seed
        )
    if place is not None:
        save_report(found.table, place, f"{Path(request.model).name}, {request.inputs}")
    if request.as_json:
        document = {
            "choices": [vars(choice) for choice in found.choices],
            "distrusted": dict(found.distrusted),
            **found.table.to_dict(),
        }
        sys.stdout.write(_report.dump_json(document) + "\n")
    else:
        write_lines([*_lines(found), *([f"saved {request.save}"] if request.save else [])])


def _lines(found: Recommendation) -> list[str]:
    """The answer in one line, then why, in a few."""
    lines = [str(found)]
    for choice in found.choices:
        each = found.table.scores[choice.method]
        shown = ", ".join(
            f"{name} {one.mean:.3g} ({one.control.mean:.3g})" for name, one in each.items() if one.control
        )
        lines.append(f"  {choice.method}: mean rank {choice.rank:.2f} on {choice.samples} inputs; {shown}")
    if found.choices:
        lines.append("  in brackets the same metric for random values")
    lines += [f"not {name}: {why}." for name, why in list(found.distrusted.items())[:_SAID]]
    return lines
