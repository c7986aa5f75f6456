"""``xaionnx evaluate``: score several methods by several metrics, beside controls that explain nothing."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from xaionnx_cli._case import case_options, configured, first_picture, left_out_lines
from xaionnx_cli._options import OptionValue, Seconds, time_option
from xaionnx_cli._score_report import SAVE_HELP, ScoreReport, ScoringRequest, conclude, report_places
from xaionnx_cli._score_words import in_words_of_command

if TYPE_CHECKING:
    from xaionnx.evaluation import ScoreTable
    from xaionnx.evaluation.metric import Metric
    from xaionnx.explainer import Explainer
    from xaionnx.registry import Registry

# Metrics that need a second model or a second method, and are asked for by name in Python.
OF_TWO: Final = ("label_randomisation", "similarity")
USUAL: Final = "deletion,insertion,max_sensitivity,parameter_randomisation"
# Names of scores that a line lists.
_SHOWN: Final = 6
# Seconds for all methods or all metrics.
_OF_ALL: Final = 3600.0

labels_option = click.option(
    "--labels",
    metavar="FILE|COLUMN",
    help="The label of each input, to count how many are the top class, and for --target labelled: a CSV file of the "
    "columns file and label, the column of a table, or the array of an .npz file.  [default: the names of subfolders]",
)
no_inputs_option = click.option("--no-inputs", is_flag=True, help="Leave pictures of inputs and maps out of the page.")


@dataclass(frozen=True, kw_only=True)
class Request(ScoringRequest):
    """The options of ``xaionnx evaluate``."""

    controls: str
    masks: str | None
    budget: float | None

    @property
    def seconds(self) -> float | None:
        """The budget: that of all methods or metrics if none is given, because some take days."""
        every = "all" in (self.methods.strip(), self.metrics.strip())
        return _OF_ALL if self.budget is None and every else self.budget


@click.command(no_args_is_help=False)
@click.option("--methods", required=True, metavar="NAME,...", help="The methods; all: every one that the model allows.")
@click.option("--metrics", default=USUAL, show_default=True, metavar="NAME,...", help="The metrics; all: every one.")
@click.option(
    "--controls", default="random", show_default=True, metavar="NAME,...", help="Controls: random, edges, other_class."
)
@click.option(
    "--masks",
    metavar="FILE.npy|FOLDER",
    help="Ground truth for metrics of localisation: bool (N, H, W), or a folder of pictures of the same names.",
)
@click.option("-o", "--save", "save", metavar="FILE", help=SAVE_HELP)
@labels_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the controls.")
@no_inputs_option
@click.option(
    "--budget",
    type=Seconds(),
    metavar="TIME",
    help="Time, such as 90s or 10m, shared equally by the scores: slow ones are of fewer inputs.  [default: 1h if "
    "--methods or --metrics is all; otherwise no limit]",
)
@case_options
def command(**given: OptionValue) -> int:
    """Score methods by metrics, beside controls that explain nothing.

    \b
    xaionnx evaluate MODEL.onnx PHOTOS/ --methods saliency,grad_cam,occlusion -o report.html

    All methods explain the same target of the same inputs. A method is marked best by a metric only if it is
    significantly better than every other one, and marked where it is no better than random values: in both cases by a
    paired test, corrected for the number of methods. What does not apply to the model is left out, with the reason. All
    methods by all metrics can take days: within a --budget, a score whose share of the time is used up is of the
    inputs so far. Inputs are read in parts, so that there may be more than fit in memory. If the command is stopped,
    the scores so far are reported.
    """
    from xaionnx.counting import counted
    from xaionnx.discovery import METHODS
    from xaionnx.evaluation import score_table
    from xaionnx.evaluation.metric import METRICS
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._ending import kept_if_stopped, saved_in
    from xaionnx_cli._progress import progress_bar

    request = Request(**given)
    methods, metrics = names_of(request.methods, METHODS), names_of(request.metrics, METRICS, OF_TWO)
    places = report_places(request.save, (*request.files, request.masks), request.force)
    model, inputs, target = request.open_in_parts(request.masks)
    settings = request.replacement(model)
    explainers, judges = configured(METHODS, methods, settings), configured(METRICS, metrics, settings)
    controls = [name.strip() for name in request.controls.split(",") if name.strip()]
    began = time.perf_counter()
    tables: deque[Callable[[], ScoreTable]] = deque(maxlen=1)

    def report(found: ScoreTable, complete: bool) -> list[Path]:
        table = in_words_of_command(found)
        return conclude(
            ScoreReport(
                request=request,
                table=table,
                photo=first_picture(inputs, table, model),
                document={**table.to_dict(), "complete": complete},
                lines=_lines(table, time.perf_counter() - began),
            ),
            places,
        )

    def report_stopped() -> str:
        if not tables:
            return ""
        table = tables[-1]()
        written = report(_with_missing(table, methods), complete=False)
        done, count = len(table.scores), len(table.inputs)
        if done == len(methods):
            return f"{counted(count, 'input is', 'inputs are')} scored{saved_in(written)}"
        return f"{done} of {len(methods)} methods are done{saved_in(written)}"

    with (
        kept_if_stopped(report_stopped),
        progress_bar() as bar,
        time_limit_between_runs(request.timeout, "A metric", bar),
    ):
        table = score_table(
            model,
            inputs,
            explainers,
            judges,
            target,
            controls=controls,
            seed=request.seed,
            budget_s=request.seconds,
            on_progress=tables.append,
        )
    report(table, complete=True)
    check_scored(table, request.seconds)
    return left_out_lines(table)[1]


def _with_missing(table: ScoreTable, methods: Sequence[str]) -> ScoreTable:
    """The table of a command that was stopped, with the methods that it did not reach."""
    missing = [name for name in methods if name not in table.scores and name not in table.refused]
    said = dict.fromkeys(missing, "the command was stopped ahead of it")
    return dataclasses.replace(table, refused={**table.refused, **said})


def _lines(table: ScoreTable, seconds: float) -> list[str]:
    from xaionnx.counting import counted
    from xaionnx.render import verdict

    done = f"{counted(sum(map(len, table.scores.values())), 'score')} in {seconds:.3g} s"
    return [*repr(table).split("\n"), *verdict(table), *without_scores_lines(table), done]


def check_scored(table: ScoreTable, budget: float | None) -> None:
    """Refuse a table without any score, whose report is written already.

    Raises
    ------
    TimeLimitError
        The budget was too short.
    DataError
        It says what the first reason is.
    """
    from xaionnx.errors import DataError, TimeLimitError
    from xaionnx.evaluation.metric import METRICS
    from xaionnx.evaluation.time_share import OUT_OF_TIME

    if any(table.scores.values()):
        return
    if budget is not None and {*table.refused.values()} & {*OUT_OF_TIME}:
        raise TimeLimitError(
            "Nothing has a score: the time was too short for any method. Give ten times as long, --budget "
            f"{time_option(10 * budget)}, or name fewer methods and metrics."
        )
    # A metric may be without scores for its own reason, whatever the methods.
    reasons = sorted(table.refused.items(), key=lambda one: one[0] in METRICS.names())
    name, reason = next(iter(reasons), ("no method", "none was reached"))
    raise DataError(f"Nothing has a score. {name}: {reason}")


def names_of(given: str, registry: Registry[Explainer] | Registry[Metric], left_out: Sequence[str] = ()) -> list[str]:
    """Return the names of one or more methods or metrics, each once; all but some for ``all``.

    Raises
    ------
    ParameterError, UnknownNameError
        There is none, one is named twice, or nothing has the name.
    """
    from xaionnx.errors import ParameterError

    if given.strip() == "all":
        return [name for name in registry.names() if name not in left_out]
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"--{registry.word}s must name one or more, each once, or 'all'. Got '{given}' instead.")
    for name in names:
        registry.find(name)
    return names


def without_scores_lines(table: ScoreTable) -> list[str]:
    """What has no scores, a line for each reason; of single scores the first few names."""
    lines = []
    for reason, names in table.without_scores():
        shown = names if " by " not in names[0] else names[:_SHOWN]
        rest = f" and {len(names) - len(shown):,} more" if len(shown) < len(names) else ""
        further = "further " if table.has_scores(names[0]) else ""
        lines.append(f"without {further}scores: {', '.join(shown)}{rest}: {reason}")
    return lines
