"""``xaionnx recommend``: the method to trust for a model and its inputs, at each price."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xaionnx_cli._case import case_options, configured, first_picture, left_out_lines
from xaionnx_cli._options import OptionValue, Seconds
from xaionnx_cli._score_report import SAVE_HELP, ScoreReport, ScoringRequest, conclude, report_places
from xaionnx_cli._score_words import in_words_of_command
from xaionnx_cli.evaluate import (
    OF_TWO,
    USUAL,
    check_scored,
    labels_option,
    names_of,
    no_inputs_option,
    without_scores_lines,
)

if TYPE_CHECKING:
    from xaionnx.evaluation import Recommendation, Scores
    from xaionnx.typing import Document


@dataclass(frozen=True, kw_only=True)
class Request(ScoringRequest):
    """The options of ``xaionnx recommend``."""

    budget: float


@click.command(no_args_is_help=False)
@click.option(
    "--budget", type=Seconds(), default="10m", show_default=True, metavar="TIME", help="Time, such as 90s or 10m."
)
@click.option("--methods", default="all", show_default=True, metavar="NAME,...", help="The candidates.")
@click.option("--metrics", default=USUAL, show_default=True, metavar="NAME,...", help="What they are judged by.")
@click.option("-o", "--save", "save", metavar="FILE", help=SAVE_HELP)
@labels_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the controls.")
@no_inputs_option
@case_options
def command(**given: OptionValue) -> int:
    """Name the method to trust for a model and its inputs, at each price.

    \b
    xaionnx recommend MODEL.onnx PHOTOS/ --budget 10m

    All methods are scored on two inputs, and the better half of those of about the same price on twice as many, until
    the inputs or the time are used up; each score gets an equal share of it. Never named is a method whose maps do not
    change with the weights of the model, that is worse than random values by deletion, insertion or another metric of
    faithfulness, or that is clearly better by none. If the command is stopped, it recommends by what was scored until
    then.
    """
    from xaionnx.discovery import METHODS
    from xaionnx.evaluation import recommend
    from xaionnx.evaluation.metric import METRICS
    from xaionnx.evaluation.successive_halving import COARSE
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._ending import kept_if_stopped, saved_in
    from xaionnx_cli._progress import progress_bar

    request = Request(**given)
    methods, metrics = names_of(request.methods, METHODS), names_of(request.metrics, METRICS, OF_TWO)
    places = report_places(request.save, request.files, request.force)
    model, inputs, target = request.open_in_parts()
    settings = request.replacement(model)
    explainers, judges = configured(METHODS, methods, settings), configured(METRICS, metrics, settings, COARSE)
    recommendations: deque[Callable[[], Recommendation]] = deque(maxlen=1)

    def report(judged: Recommendation, complete: bool) -> list[Path]:
        found = dataclasses.replace(judged, table=in_words_of_command(judged.table.in_order(judged.ranking)))
        return conclude(
            ScoreReport(
                request=request,
                table=found.table,
                photo=first_picture(inputs, found.table, model),
                document=_document(found, complete),
                lines=[
                    *_lines(found),
                    *found.table.labels.sentences(of=len(found.table.inputs)),
                    *without_scores_lines(found.table),
                ],
                answer=[str(found), *_distrusted_lines(found), *_order_lines(found)],
            ),
            places,
        )

    def report_stopped() -> str:
        if not recommendations:
            return ""
        found = recommendations[-1]()
        written = report(found, complete=False)
        return f"{len(found.table.scores)} of {len(methods)} methods have scores{saved_in(written)}"

    with (
        kept_if_stopped(report_stopped),
        progress_bar() as bar,
        time_limit_between_runs(request.timeout, "A metric", bar),
    ):
        found = recommend(
            model,
            inputs,
            budget_s=request.budget,
            methods=explainers,
            metrics=judges,
            target=target,
            seed=request.seed,
            on_progress=recommendations.append,
        )
    report(found, complete=True)
    check_scored(found.table, request.budget)
    return left_out_lines(found.table)[1]


def _document(found: Recommendation, complete: bool) -> Document:
    return {
        **found.table.to_dict(),
        "complete": complete,
        "choices": [vars(choice) for choice in found.choices],
        "distrusted": dict(found.distrusted),
        "ranking": found.ranking,
    }


def _lines(found: Recommendation) -> list[str]:
    """The answer in one line, then why, in a few, and the figures of the others."""
    from xaionnx.counting import counted

    lines = [str(found)] if any(found.table.scores.values()) else []
    for choice in found.choices:
        rank = f"mean rank {choice.rank:.2f} on {counted(choice.samples, 'input')}"
        lines.append(f"  {choice.method}: {'; '.join([rank, *_figures(found.table.scores[choice.method])])}")
    chosen = {choice.method for choice in found.choices}
    others = [name for name in found.ranking if name not in chosen and found.table.scores[name]]
    if others:
        lines.append("the others, the best first:" if chosen else "from the best:")
        lines += [f"  {name}: {'; '.join(_figures(found.table.scores[name], on_inputs=True))}" for name in others]
    if any(one.count for each in found.table.scores.values() for one in each.values()):
        lines.append("in brackets the same metric for random values")
    return [*lines, *_distrusted_lines(found)]


def _distrusted_lines(found: Recommendation) -> list[str]:
    """Which methods are not to be trusted, a line for each reason."""
    lines = []
    for why in dict.fromkeys(found.distrusted.values()):
        names = [name for name, each in found.distrusted.items() if each == why]
        lines.append(f"Not recommended, {why}: {', '.join(names)}.")
    return lines


def _order_lines(found: Recommendation) -> list[str]:
    """In which order the page lists the methods, if there are several."""
    return ["Below, methods are in the order of the recommendation, the best first."] if len(found.ranking) > 1 else []


def _figures(each: Mapping[str, Scores], *, on_inputs: bool = False) -> Iterator[str]:
    """The mean by each metric with that of random values, if asked for on how many inputs, and what has no score."""
    from xaionnx.counting import counted

    known = {name: one for name, one in each.items() if one.count}
    if known:
        means = ", ".join(f"{name} {one.mean:.3g}{_beside(one.control)}" for name, one in known.items())
        yield means + (f" on {counted(max(one.count for one in known.values()), 'input')}" if on_inputs else "")
    reasons = dict.fromkeys(one.why_none for one in each.values() if not one.count)
    for why in reasons:
        names = [name for name, one in each.items() if not one.count and one.why_none == why]
        yield f"no score by {', '.join(names)}: {why.removesuffix('.')}"


def _beside(control: Scores | None) -> str:
    """The mean of random values, if it is known."""
    return f" ({control.mean:.3g})" if control and control.count else ""
