"""``xaionnx compare``: explain the same inputs by several methods, and tell how alike they rank the features."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from xaionnx_cli import _overwriting
from xaionnx_cli._case import Case, case_options, configured
from xaionnx_cli._options import OptionValue

if TYPE_CHECKING:
    from PIL import Image

    from xaionnx import Explanation, Model
    from xaionnx.data.inputs import Inputs
    from xaionnx.explainer import Explainer
    from xaionnx.typing import Document, Floats
    from xaionnx_cli._refusals import Refusals

# Options that are passed on to each method that has a parameter of this name.
_PASSED_ON: Final = ("budget", "seed", "metric", "labels")
_SUFFIXES: Final = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class Request(Case):
    """The options of ``xaionnx compare``."""

    methods: str
    budget: int | None
    seed: int | None
    metric: str | None
    top: int


@click.command(no_args_is_help=False)
@click.option("--methods", required=True, metavar="NAME,NAME,...", help="The methods, two or more.")
@click.option("-o", "--save", "save", metavar="FILE", help="The picture to write, with all methods side by side.")
@click.option("--budget", type=click.IntRange(1), metavar="INT", help="Maximum number of model evaluations per sample.")
@click.option("--seed", type=click.IntRange(0), metavar="INT", help="Seed of all random draws.")
@click.option("--metric", metavar="NAME", help="What feature_permutation explains, such as roc_auc; needs --labels.")
@click.option("--labels", metavar="COLUMN", help="Labels for it: a column of the table, FILE.npy or FILE.csv:COLUMN.")
@click.option("--top", type=click.IntRange(1), default=12, show_default=True, help="Features of a table to draw.")
@case_options
def command(**given: OptionValue) -> int:
    """Explain inputs by several methods, and tell how alike their rankings of the features are.

    \b
    xaionnx compare MODEL.onnx TABLE.csv --rows 17 --methods kernel_shap,lime,saliency -o sheet.png

    For one sample the sizes of its values are ranked. For several it is the importance of features for all of them:
    the mean sizes of their values, or the values of methods that explain all samples together, such as dependence,
    and feature_permutation with a metric:

    \b
    xaionnx compare FOREST.onnx TABLE.csv --methods tree_shap,feature_permutation,dependence --metric roc_auc
        --labels COLUMN --background TABLE.csv -o importance.png

    Background, budget, seed, metric and labels go to those methods that have such a parameter. All other parameters
    are the defaults. If a method fails or the command is stopped, those that were done before and after are
    compared.
    """
    from xaionnx.discovery import METHODS
    from xaionnx_cli._ending import kept_if_stopped, saved_in
    from xaionnx_cli._refusals import Refusals

    request = Request(**given)
    names = _method_names(request.methods)
    settings = {name: getattr(request, name) for name in _PASSED_ON if getattr(request, name) is not None}
    configured(METHODS, names, settings)  # ahead of the model, whose opening may take long
    place = _place(request)
    model, inputs, target = request.open()
    methods = configured(METHODS, names, {**settings, **request.replacement(model)})
    results: list[Explanation] = []
    failed = Refusals("methods")

    def report_stopped() -> str:
        if not results:
            return ""
        # One method has nothing beside it to be drawn with.
        written = _conclude(request, place if len(results) > 1 else None, inputs, results, failed, complete=False)
        return f"{len(results)} of {len(methods)} methods are done{saved_in(written)}"

    with kept_if_stopped(report_stopped):
        _explain_by_each(methods, model, inputs, target, request, results, failed)
    _conclude(request, place, inputs, results, failed, complete=True)
    return failed.exit_code(len(results))


def _explain_by_each(
    methods: Sequence[Explainer],
    model: Model,
    inputs: Inputs,
    target: OptionValue,
    request: Request,
    results: list[Explanation],
    failed: Refusals,
) -> None:
    """Add the results of the methods, and what those that failed say.

    Raises
    ------
    XaionnxError
        The first method failed: nothing is lost by saying so at once.
    """
    from xaionnx.runs.failures import OF_ROWS, translated
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._progress import progress_bar

    with progress_bar() as bar:
        for method in methods:
            try:
                with time_limit_between_runs(request.timeout, method.name(), bar):
                    bound = method.bind(model)
                    results.append(bound.explain(bound.request(model, inputs, target)))
            except OF_ROWS as error:
                if not results:
                    raise
                failed.add(method.name(), None, translated(error))


def _conclude(
    request: Request,
    place: Path | None,
    inputs: Inputs,
    results: Sequence[Explanation],
    failed: Refusals,
    *,
    complete: bool,
) -> list[Path]:
    """Draw, print the agreement of the methods that are done, and return the files that were written."""
    from xaionnx.agreement import rank_agreement, shares_features
    from xaionnx_cli import _report
    from xaionnx_cli._ending import write_and_report
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._printer import Printer

    agreement = rank_agreement(results, 0 if all(one.samples == 1 for one in results) else None)

    def write(at: Path) -> None:
        from xaionnx import render

        render.save(_sheet(results, inputs, request.top), at)

    def report(written: list[Path]) -> None:
        for line in failed.lines(len(results)):
            Printer.error(line)
        if request.as_json:
            document = _document(request, results, agreement)
            document |= {"complete": complete, "failed": failed.entries, "saved": str(written[0]) if written else None}
            sys.stdout.write(_report.dump_json(document) + "\n")
        else:
            of_first = "" if all(map(shares_features, results)) or results[0].samples == 1 else ", of the first input"
            write_lines([*_lines(request, results, agreement), *(f"saved {each}{of_first}" for each in written)])

    return write_and_report([] if place is None else [(place, write)], report)


def _method_names(given: str) -> list[str]:
    """The names of two or more methods, each once.

    Raises
    ------
    ParameterError
        There are fewer, or one is named twice.
    """
    from xaionnx.errors import ParameterError

    names = [name.strip() for name in given.split(",") if name.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ParameterError(f"--methods must name two or more methods, each once. Got '{given}' instead.")
    return names


def _place(request: Request) -> Path | None:
    """The picture to write, if it may be written."""
    return _overwriting.file_to_write(request.save, _SUFFIXES, ".png or .jpg", "picture", request.files, request.force)


def _sheet(results: Sequence[Explanation], inputs: Inputs, top: int) -> Image.Image:
    """Photographs as maps side by side, anything else as bars side by side; of texts and photographs the first."""
    from xaionnx import render
    from xaionnx.agreement import shares_features

    if not all(map(shares_features, results)):
        results = [one[0] for one in results]
    shown = next(iter(results[0].display.values()), None)
    if shown is not None and shown.kind == "picture" and results[0].samples == 1:
        return render.sheet(results, inputs.displays[0] if inputs.displays else shown.picture())
    return render.row_sheet(results, top=top)


def _document(request: Request, results: Sequence[Explanation], agreement: Floats) -> Document:
    return {
        "model": request.model,
        "inputs": request.inputs,
        "methods": [result.method for result in results],
        "rank_agreement": [[None if number != number else number for number in row] for row in agreement.tolist()],
        "explanations": [result.to_dict() for result in results],
    }


def _lines(request: Request, results: Sequence[Explanation], agreement: Floats) -> list[str]:
    """The table of agreements, with the mean of each method's agreements with the others."""
    from xaionnx.agreement import shares_features

    names = [result.method for result in results]
    wide = max(map(len, names))
    count = max(one.diagnostics.get("samples", one.samples) for one in results)
    samples = f"{count:,} sample{'' if count == 1 else 's'}"
    over = "" if all(map(shares_features, results)) or count == 1 else ", mean over the samples"
    lines = [f"{request.inputs}: {samples}, rank agreement (Spearman) of the sizes of values{over}"]
    lines.append(f"  {'':{wide}}  " + "  ".join(f"{number + 1:>5}" for number in range(len(names))) + "   mean")
    for number, (name, row) in enumerate(zip(names, agreement, strict=True)):
        others = [value for column, value in enumerate(row) if column != number and value == value]
        mean = f"{sum(others) / len(others):5.2f}" if others else " none"
        cells = "  ".join(" none" if value != value else f"{value:5.2f}" for value in row)
        lines.append(f"{number + 1} {name:{wide}}  {cells}  {mean}")
    return lines
