"""``xaionnx masker``: train the masker of a model, which then explains in one run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xaionnx_cli._options import FilePath, OptionValue
from xaionnx_cli._searches import FieldsCommand, SearchRequest, common_options, stopped

if TYPE_CHECKING:
    from xaionnx import Model
    from xaionnx.masker import Masker
    from xaionnx.optimization import MaskerTraining


@dataclass(frozen=True, kw_only=True)
class Request(SearchRequest):
    """The options of ``xaionnx masker``."""

    inputs: str
    resume: str | None


def _training() -> type[MaskerTraining]:
    from xaionnx.optimization import MaskerTraining

    return MaskerTraining


def _train(**given: OptionValue) -> int:
    """Train the masker of a model for "explain masker": a network that shows in one run what a class depends on.

    \b
    xaionnx masker MODEL FOLDER -o FILE.onnx
    xaionnx explain masker MODEL PHOTO --masker FILE.onnx -o mask.png

    INPUTS is a folder, or a file of several inputs, like those that will be explained; thousands are better. Labels are
    not needed. They are read when they are drawn, so that they may be more than fit into memory. Ctrl-C keeps what is
    trained so far, and --resume FILE.onnx goes on from there.
    """
    from xaionnx import parameters
    from xaionnx.optimization import TrainingInterrupted
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._progress import progress_bar

    kind = _training()
    training = kind(**{name: given.pop(name) for name in parameters.declared(kind)})
    request = Request(**given)
    # The file that a training goes on from may be the one that it replaces.
    place = request.place([".onnx"], [request.inputs])
    assert place is not None  # -o is required
    model = request.open()
    resume = None if request.resume is None else Path(request.resume)
    try:
        with progress_bar() as bar, time_limit_between_runs(request.timeout, "A step of the training", bar):
            found = training.train(model, Path(request.inputs), place, resume)
    except TrainingInterrupted as stop:
        _report(stop.found, request, model)
        raise stopped(stop, place) from None
    return _report(found, request, model)


def _report(found: Masker, request: Request, model: Model) -> int:
    """Print what was trained, and return the exit code."""
    import numpy as np

    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._printer import Printer
    from xaionnx_cli._refusals import refusals_of
    from xaionnx_cli._report import dump_json

    refused = refusals_of(found.refused)
    used = found.training["inputs"] - len(found.refused)
    steps = len(found.objective)
    tenth = max(1, steps // 10)
    first, last = (round(float(np.mean(part)), 4) for part in (found.objective[:tenth], found.objective[-tenth:]))
    if request.as_json:
        facts = {
            "file": request.save, "model": model.name, "model_sha256": found.of, "sha256": found.sha256,
            "steps": steps, "objective": [first, last], "training": found.training,
            "refused": refused.entries,
        }  # fmt: skip
        sys.stdout.write(dump_json(facts) + "\n")
        return refused.exit_code(used)
    for line in refused.lines(used):
        Printer.error(line)
    write_lines(
        [
            f"{request.save}: a masker of {model.name}, trained on {used:,} inputs",
            f"  the objective fell from {first:.4g} to {last:.4g}, means of {tenth} of {steps} steps each"
            if last < first
            else f"  the objective did not fall: {first:.4g} at first, {last:.4g} at last, means of {tenth} of {steps} "
            "steps each",
        ]
    )
    return refused.exit_code(used)


command = FieldsCommand(
    "masker",
    kind=_training,
    params=[
        click.Argument(["model"], type=FilePath()),
        click.Argument(["inputs"], type=FilePath()),
        click.Option(["-o", "--save", "save"], required=True, metavar="FILE", help="The .onnx file to write."),
        click.Option(
            ["--resume"], type=FilePath(), metavar="FILE.onnx", help="Go on with a training that was stopped."
        ),
        *common_options(),
    ],
    callback=_train,
    help=_train.__doc__,
    short_help='Train the masker of a model for "explain masker".',
)
