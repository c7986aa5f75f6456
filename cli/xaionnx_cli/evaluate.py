"""``xaionnx evaluate``: score several methods by several metrics, beside controls that explain nothing."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from xaionnx_cli import _overwriting
from xaionnx_cli._case import Case, case_options, configured, first_picture, left_out_lines
from xaionnx_cli._options import OptionValue, Seconds
from xaionnx_cli._printer import Printer

if TYPE_CHECKING:
    from xaionnx.evaluation import ScoreTable
    from xaionnx.evaluation.metric import Metric
    from xaionnx.explainer import Explainer
    from xaionnx.registry import Registry
    from xaionnx.typing import Array, Document

# Metrics that need a second model or a second method, and are asked for by name in Python.
OF_TWO: Final = ("label_randomisation", "similarity")
USUAL: Final = "deletion,insertion,max_sensitivity,parameter_randomisation"
_SUFFIXES: Final = (".html", ".json", ".csv", ".parquet")
_COLUMNS: Final = (
    *("method", "metric", "direction", "mean", "low", "high", "control"),
    *("p_control", "p_best", "best", "samples"),
)

# Names of scores that a line lists.
_SHOWN: Final = 6

SAVE_HELP: Final = (
    "The report: .html to read, with .json and .parquet beside it; or one of .json, .csv and .parquet alone."
)
labels_option = click.option(
    "--labels",
    metavar="FILE|COLUMN",
    help="The label of each input, of which --target labelled is the class: a CSV file of the columns file and label, "
    "the column of a table, or the array of an .npz file.  [default: the names of subfolders]",
)
no_inputs_option = click.option("--no-inputs", is_flag=True, help="Leave pictures of inputs and maps out of the page.")


@dataclass(frozen=True, kw_only=True)
class ScoringRequest(Case):
    """The options of commands that score methods."""

    methods: str
    metrics: str
    seed: int
    no_inputs: bool


@dataclass(frozen=True, kw_only=True)
class Request(ScoringRequest):
    """The options of ``xaionnx evaluate``."""

    controls: str
    masks: str | None
    budget: float | None


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
    help="Time, such as 90s or 10m; each score gets an equal share.",
)
@case_options
def command(**given: OptionValue) -> int:
    """Score methods by metrics, beside controls that explain nothing.

    \b
    xaionnx evaluate MODEL.onnx PHOTOS/ --methods saliency,grad_cam,occlusion -o report.html

    All methods explain the same target of the same inputs. A method is marked best by a metric only if it is
    significantly better than every other one, and marked where it is no better than random values: in both cases by a
    paired test, corrected for the number of methods. What does not apply to the model is left out, with the reason, and
    so is what takes more than its share of --budget: all methods by all metrics can take hours. Inputs are
    read in parts, so that there may be more than fit in memory. If the command is stopped, the methods that were done
    are reported.
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
    model, inputs, masks, target = request.open_in_parts(request.masks)
    settings = request.replacement(model)
    explainers, judges = configured(METHODS, methods, settings), configured(METRICS, metrics, settings)
    controls = [name.strip() for name in request.controls.split(",") if name.strip()]
    began = time.perf_counter()
    tables: deque[Callable[[], ScoreTable]] = deque(maxlen=1)

    def report(table: ScoreTable, complete: bool) -> list[Path]:
        return conclude(
            request,
            table,
            places,
            first_picture(inputs, table, model),
            {"complete": complete, **table.to_dict()},
            _lines(table, time.perf_counter() - began),
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
            masks=masks,
            controls=controls,
            seed=request.seed,
            budget_s=request.budget,
            on_progress=tables.append,
        )
    report(table, complete=True)
    check_scored(table)
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


def check_scored(table: ScoreTable) -> None:
    """Refuse a table without any score, whose report is written already.

    Raises
    ------
    DataError
        It says what the first reason is.
    """
    from xaionnx.errors import DataError
    from xaionnx.evaluation.metric import METRICS

    if not any(table.scores.values()):
        # A metric may be without scores for its own reason, whatever the methods.
        reasons = sorted(table.refused.items(), key=lambda one: one[0] in METRICS.names())
        name, reason = next(iter(reasons), ("no method", "none was reached"))
        raise DataError(f"Nothing has a score. {name}: {reason}")


def conclude(
    request: ScoringRequest,
    table: ScoreTable,
    places: Sequence[Path],
    photo: Array | None,
    document: Document,
    lines: Sequence[str],
) -> list[Path]:
    """Write the report of a table, print the document or the lines, and return the files that were written."""
    from xaionnx_cli import _report
    from xaionnx_cli._ending import write_and_report
    from xaionnx_cli._messages import write_lines

    title = f"Explanations of {Path(request.model).name}, scored on {request.inputs}"

    def write(place: Path) -> None:
        save_report(table, place, title, None if request.no_inputs else photo, inputs=not request.no_inputs)

    def report(written: list[Path]) -> None:
        for line in [*left_out_lines(table)[0], *_report.lines_of_warnings(table.warnings)]:
            Printer.error(line.lstrip())
        if request.as_json:
            sys.stdout.write(_report.dump_json({**document, "saved": list(map(str, written))}) + "\n")
        else:
            write_lines([*lines, *saved_lines(written)])

    return write_and_report([(place, write) for place in places], report)


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


def report_places(given: str | None, read: Sequence[str | None], force: bool) -> list[Path]:
    """Return the files of the report to write, if they may be written; ``read`` are those that the command reads.

    Raises
    ------
    ParameterError, UsageError, StorageError
        They may not be.
    """
    from xaionnx.errors import ParameterError
    from xaionnx_cli._destination import check_writable

    if given is None:
        return []
    place = Path(given)
    suffix = place.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ParameterError(f"-o must end in {', '.join(_SUFFIXES)}. Got '{given}' instead.")
    if suffix == ".parquet" and not _has_parquet():
        raise ParameterError(f"Cannot write {given}: pyarrow is not installed. Run: pip install pyarrow")
    beside = (".json", ".parquet") if suffix == ".html" else ()
    places = [place, *(place.with_suffix(each) for each in beside if each != ".parquet" or _has_parquet())]
    check_writable(place.parent)
    for each in places:
        _overwriting.check_replaceable(each, "report", _overwriting.real_paths(filter(None, read)), force)
    return places


def saved_lines(places: Sequence[Path]) -> list[str]:
    """What was saved, and what was not."""
    lines = [f"saved {', '.join(map(str, places))}"] if places else []
    if places and places[0].suffix.lower() == ".html" and not _has_parquet():
        lines.append("no .parquet beside it: pyarrow is not installed; pip install pyarrow")
    return lines


def _has_parquet() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def save_report(table: ScoreTable, place: Path, title: str, photo: Array | None = None, *, inputs: bool = True) -> None:
    """Write a table of scores as its suffix says."""
    from xaionnx.render import save_page, score_page
    from xaionnx_cli._report import dump_json

    suffix = place.suffix.lower()
    if suffix == ".html":
        save_page(score_page(table, title, photo, inputs=inputs), place)
    elif suffix == ".json":
        save_page(dump_json(table.to_dict()) + "\n", place)
    elif suffix == ".parquet":
        _save_parquet(table, place)
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.to_dict()["scores"])
        save_page(text.getvalue(), place)


def _save_parquet(table: ScoreTable, place: Path) -> None:
    """Write a row for each method and metric, with the scores of all samples."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xaionnx.data.storage import write_whole

    number, text = pa.float64(), pa.string()
    columns = {
        "method": text,
        "metric": text,
        "category": text,
        "direction": text,
        "best": pa.bool_(),
        **dict.fromkeys(("mean", "low", "high", "control", "p_control", "p_best"), number),
        "samples": pa.int64(),
        "values": pa.list_(number),
    }
    rows = [{name: row[name] for name in columns} for row in table.to_dict()["scores"]]
    made = pa.Table.from_pylist(rows, pa.schema(columns, metadata={"software": "xaionnx"}))
    write_whole(place, lambda stream: pq.write_table(made, stream, compression="zstd"))


def without_scores_lines(table: ScoreTable) -> list[str]:
    """What has no scores, a line for each reason; of single scores the first few names."""
    lines = []
    for reason, names in table.without_scores():
        shown = names if " by " not in names[0] else names[:_SHOWN]
        rest = f" and {len(names) - len(shown):,} more" if len(shown) < len(names) else ""
        lines.append(f"without scores: {', '.join(shown)}{rest}: {reason}")
    return lines
