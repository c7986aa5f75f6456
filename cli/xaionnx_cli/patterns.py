"""``xaionnx patterns``: estimate the patterns of a model's layers from a folder of inputs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from xaionnx_cli import _overwriting
from xaionnx_cli._options import TIMEOUT_HELP, FilePath, OptionValue, Seconds


@dataclass(frozen=True)
class Request:
    """The options of ``xaionnx patterns``."""

    model: str
    inputs: str
    save: str
    estimator: Literal["two_component", "linear"]
    device: str
    spec: str | None
    timeout: float | None
    force: bool
    as_json: bool


@click.command(no_args_is_help=False)
@click.argument("model", type=FilePath())
@click.argument("inputs", type=FilePath())
@click.option("-o", "--save", "save", required=True, metavar="FILE", help="The .npz file to write.")
@click.option(
    "--estimator",
    type=click.Choice(["two_component", "linear"]),
    default="two_component",
    help="two_component uses only values above zero for layers before a ReLU; linear uses all values for all layers.  "
    "[default: two_component]",
)
@click.option("--device", default="auto", metavar="NAME", help="The device: auto, cpu, cuda, ...  [default: auto]")
@click.option("--spec", metavar="FILE", help="The InputSpec to use instead of the .toml file beside the model.")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help=TIMEOUT_HELP)
@click.option("--force", is_flag=True, help=_overwriting.HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(**given: OptionValue) -> None:
    """Estimate the patterns for pattern_net and pattern_attribution from inputs.

    INPUTS is a folder, or a file of several inputs. Good patterns take thousands of samples from the training data.
    """
    from xaionnx import Model
    from xaionnx.errors import ParameterError
    from xaionnx.patterns import estimate_patterns
    from xaionnx_cli import _report
    from xaionnx_cli._deadline import time_limit, time_limit_between_runs
    from xaionnx_cli._destination import check_writable
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._progress import progress_bar

    request = Request(**given)
    place = Path(request.save)
    if place.suffix.lower() != ".npz":
        raise ParameterError(f"-o must end in .npz. Got '{request.save}' instead.")
    check_writable(place.parent)
    read = _overwriting.real_paths(name for name in (request.model, request.inputs, request.spec) if name is not None)
    replaced = _overwriting.check_replaceable(place, "patterns", read, request.force)
    with time_limit(request.timeout, f"Opening {request.model}"):
        opened = Model.load(request.model, request.device, timeout_s=request.timeout, spec=request.spec)
    with progress_bar() as bar, time_limit_between_runs(request.timeout, "A step of estimating patterns", bar):
        found = estimate_patterns(opened, Path(request.inputs), request.estimator)
    found.save(place)
    facts = {
        "file": request.save, "layers": len(found.layers), "samples": found.samples, "estimator": found.estimator,
        "units": found.units, "zero": found.zero, "within": found.within, "sha256": found.sha256,
    }  # fmt: skip
    if request.as_json:
        sys.stdout.write(_report.dump_json(facts) + "\n")
    else:
        earlier = ", replacing the earlier file" if replaced else ""
        write_lines(
            (
                f"{request.save}: patterns of {len(found.layers)} layers from {found.samples} samples{earlier}",
                f"  of {found.units} units, {found.zero} have no pattern, because their output does not vary; "
                f"{found.within} take it from the covariance within their regime",
            )
        )
