"""``xaionnx patterns``: the patterns of a model's layers, from a folder of inputs."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(no_args_is_help=False)
@click.argument("model", type=click.Path())
@click.argument("inputs", type=click.Path())
@click.option("-o", "--save", "save", required=True, metavar="FILE", help="The .npz file to write.")
@click.option(
    "--estimator",
    type=click.Choice(["two_component", "linear"]),
    default="two_component",
    help="What is above zero in front of rectifiers, or everything everywhere.  [default: two_component]",
)
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, ...  [default: auto]")
@click.option("--spec", metavar="FILE", help="The InputSpec, instead of the .toml file beside the model.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(model: str, inputs: str, save: str, estimator: str, device: str, spec: str | None, as_json: bool) -> None:
    """Estimate the patterns of pattern_net and pattern_attribution from a folder of inputs.

    INPUTS is a folder, or a file of several inputs. Thousands of the training data make good patterns.
    """
    from xaionnx import InputSpec, Model
    from xaionnx.errors import ParameterError
    from xaionnx.patterns import estimate_patterns
    from xaionnx_cli import _report
    from xaionnx_cli._destination import writable
    from xaionnx_cli._progress import shown

    place = Path(save)
    if place.suffix.lower() != ".npz":
        raise ParameterError(f"-o must end in .npz. Got '{save}' instead.")
    writable(place.parent)
    opened = Model.load(model, device, spec=None if spec is None else InputSpec.read(spec))
    with shown():
        found = estimate_patterns(opened, Path(inputs), "linear" if estimator == "linear" else "two_component")
    found.save(place)
    facts = {
        "file": save, "layers": len(found.layers), "samples": found.samples, "estimator": found.estimator,
        "units": found.units, "zero": found.zero, "within": found.within, "sha256": found.sha256,
    }  # fmt: skip
    if as_json:
        sys.stdout.write(_report.dumps(facts) + "\n")
    else:
        sys.stdout.write(
            f"{save}: patterns of {len(found.layers)} layers from {found.samples} samples; of {found.units} units, "
            f"{found.zero} have none since they do not vary, and {found.within} use the covariance within their "
            "regime\n"
        )
