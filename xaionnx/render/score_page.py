"""A page of scores: methods by metrics with intervals, controls, curves, and what they say in words."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from xaionnx.counting import counted
from xaionnx.evaluation.signed_ranks import LEVEL
from xaionnx.evaluation.standing import Standing
from xaionnx.evaluation.table import ScoreTable
from xaionnx.render import randomisation_strips
from xaionnx.render.html_document import document, escaped, visible
from xaionnx.render.mean_curve import mean_curve
from xaionnx.render.verdict import verdict

if TYPE_CHECKING:
    from xaionnx.evaluation.scores import Scores
    from xaionnx.typing import Array

_STYLE: Final = """
:root{--ink:#1c1c1e;--faint:#5f5f66;--paper:#fff;--line:#d9d9de;--good:#0b6b2e;--bad:#9a1c1c;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ink:#ececf0;--faint:#a8a8b0;--paper:#161618;--line:#3a3a40;--good:#7fd89a;
--bad:#ff9d9d}}
body{color:var(--ink);background:var(--paper);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;
max-width:72rem;margin:0 auto;padding:1rem 1.25rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}table{border-collapse:collapse;font-size:.9rem}
td,th{padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.faint{color:var(--faint);font-size:.85rem}
.best{font-weight:700;color:var(--good)}td .faint{font-weight:400}
.lost{color:var(--bad)}svg{max-width:100%;height:auto;background:#fff}
summary{cursor:pointer}.wide{overflow-x:auto}.all tr>:first-child{position:sticky;left:0;background:var(--paper)}
.answer{font-size:1.2rem;font-weight:600}.all .group{color:var(--faint);font-weight:400}
"""
_BETTER: Final = {"higher": "higher is better", "lower": "lower is better", "none": "neither is better"}
# What controls are maps of.
_CONTROLS: Final = {
    "random": "random values",
    "edges": "the edges of the inputs",
    "other_class": "the values of another class",
}
_ARROWS: Final = {"higher": " \u2191", "lower": " \u2193", "none": ""}
# Colours that readers with any colour vision can tell apart (Okabe and Ito).
# Curves, and lines of a verdict, that can be read beside each other.
_CURVES, _SENTENCES = 6, 8
# Targets that a line names.
_NAMES: Final = 6
# The label of the curve in grey.
_GREY: Final = "control"
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#7F7F7F")


def score_page(
    table: ScoreTable,
    title: str = "",
    photo: Array | None = None,
    *,
    inputs: bool = True,
    answer: Sequence[str] = (),
) -> str:
    """Return a whole HTML document, which loads nothing and runs no script.

    Parameters
    ----------
    table : ScoreTable
    title : str
        What was scored; the name of the model if empty.
    photo : array of uint8 (H, W, 3), optional
        The first sample, shown beside its maps.
    inputs : bool
        Whether pictures of inputs and of their maps are shown, in which inputs can be recognised.
    answer : sequence of str
        Sentences ahead of what the scores say, such as a recommendation: the first one is the largest.
    """
    name = title or str(table.provenance.get("model", "scores"))
    standings = table.by_metric
    said = [f"<p>{escaped(line)}</p>" for line in verdict(table)]
    body = "".join(
        [
            f"<h1>{escaped(name)}</h1>",
            *(f'<p class="answer">{escaped(line)}</p>' for line in answer[:1]),
            *(f"<p>{escaped(line)}</p>" for line in answer[1:]),
            _coverage(table, reasons=inputs),
            *(f'<p class="lost">{escaped(warning)}</p>' for warning in table.warnings),
            *said[:_SENTENCES],
            _folded("More", "".join(said[_SENTENCES:])),
            _summary(table, standings),
            randomisation_strips.strips(standings, photo) if inputs else "",
            *(_metric(metric, each, table.samples) for metric, each in standings.items()),
            _without_scores(table),
            _how_made(table),
        ]
    )
    return document(name, body, f"<style>{_STYLE}{randomisation_strips.STYLE}</style>")


def _folded(heading: str, body: str) -> str:
    return f"<details><summary>{heading}</summary>{body}</details>" if body else ""


def _coverage(table: ScoreTable, *, reasons: bool) -> str:
    """What was scored, in one line, and what was not; ``reasons`` may cite an input."""
    every = [one for each in table.scores.values() for one in each.values()]
    # A sample without scores has none.
    targets = [*dict.fromkeys(str(name) for one in every for name in one.provenance.get("target", ()) if name)]
    controls = [_CONTROLS.get(name, name) for name in dict.fromkeys(name for one in every for name in one.controls)]
    left = len(table.left_out)
    words = [
        f"{counted(len(table.methods), 'method')} by {counted(len(table.metrics), 'metric')} on "
        f"{counted(table.samples, 'input')}"
        + (f", beside {', '.join(controls)}, which explain nothing." if controls else "."),
        f"Explained: {_listed(targets)}." if targets else "",
        f"{counted(left, 'input was', 'inputs were')} left out." if left else "",
        table.stopped,
    ]
    listed = _rows({one.name: one.reason for one in table.left_out}) if reasons else ""
    folded = _folded("Inputs that were left out", f"<table>{listed}</table>") if listed else ""
    return f'<p class="faint">{escaped(" ".join(filter(None, words)))}</p>{folded}'


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return f"{', '.join(names[:_NAMES])} and {more:,} more" if more > 0 else ", ".join(names)


def _first(standings: Mapping[str, Standing]) -> Scores:
    """The scores by a metric of its first method."""
    return next(iter(standings.values())).scores


def _summary(table: ScoreTable, standings: Mapping[str, Mapping[str, Standing]]) -> str:
    counts = Counter(_first(each).category for each in standings.values())
    categories = "".join(f'<th class="group" colspan="{n}">{escaped(name)}</th>' for name, n in counts.items())
    head = "".join(f"<th>{escaped(metric)}{_ARROWS[_first(each).direction]}</th>" for metric, each in standings.items())
    rows = []
    for name in table.methods:
        found = [each.get(name) for each in standings.values()]
        cells = "".join(_cell(one, _of_some(one, table.samples)) for one in found)
        seconds = table.seconds.get(name, math.nan)
        rows.append(f'<tr><td>{escaped(name)}</td><td class="n">{_seconds(seconds)}</td>{cells}</tr>')
    return (
        f'<h2>All</h2><div class="wide"><table class="all"><tr><th></th><th></th>{categories}</tr>'
        f"<tr><th>method</th><th>time a sample</th>{head}</tr>{''.join(rows)}</table></div>"
        '<p class="faint">Mean over samples, and below it over how many if some have no score. \u2191: higher is '
        "better. \u2193: lower is better. Bold: significantly "
        "better than every other method. Red: not significantly better than the control. Tests: Wilcoxon's signed "
        f"ranks of the same samples, p &lt; {LEVEL}, corrected after Holm.</p>"
    )


def _cell(standing: Standing | None, below: str = "") -> str:
    if standing is None:
        return '<td class="n faint">none</td>'
    lost = not standing.beats_control and not math.isnan(standing.p_control)
    kind = " best" if standing.best and not lost else " lost" if lost else ""
    return f'<td class="n{kind}">{_number(standing.scores.mean)}{below}</td>'


def _of_some(standing: Standing | None, samples: int) -> str:
    """Over how many samples a mean is, if it is not over all: it looks like one over all."""
    if standing is None or standing.scores.count == samples:
        return ""
    return f'<br><span class="faint">{_count(standing.scores, samples)}</span>'


def _metric(metric: str, standings: Mapping[str, Standing], samples: int) -> str:
    first = _first(standings)
    controls = list(first.controls)
    head, p = "".join(f"<th>{escaped(name)}</th>" for name in controls), " against ".join(["p", *controls[:1]])
    rows = "".join(
        f"<tr><td>{escaped(name)}</td>{_cell(one)}"
        f'<td class="n">{_interval(one.scores)}</td>'
        + "".join(f'<td class="n">{_number(one.scores.controls[control].mean)}</td>' for control in controls)
        + f'<td class="n">{_number(one.p_control)}</td><td class="n">{_count(one.scores, samples)}</td></tr>'
        for name, one in standings.items()
    )
    return (
        f'<h2>{escaped(metric)} <span class="faint">{_BETTER[first.direction]}</span></h2>{_meaning(first.says)}'
        f"<table><tr><th>method</th><th>mean</th><th>95 % interval</th>{head}<th>{escaped(p)}</th><th>samples</th></tr>"
        f"{rows}</table>{_without_control(standings)}{_undefined(standings)}{_curves(standings)}"
    )


def _meaning(says: str) -> str:
    """What a metric says, as a sentence."""
    return f'<p class="faint">{escaped(says[:1].upper() + says[1:])}.</p>' if says else ""


def _interval(scores: Scores) -> str:
    low, high = map(_number, scores.interval)
    return low if math.isnan(scores.interval[0]) else f"{low} to {high}"


def _count(scores: Scores, samples: int) -> str:
    return f"{scores.count:,}" if scores.count == samples else f"{scores.count:,} of {samples:,}"


def _without_control(standings: Mapping[str, Standing]) -> str:
    """Why controls have no score for some samples or all: each reason once, with the methods if it is not all."""
    found = dict[tuple[str, str], list[str]]()
    for method, one in standings.items():
        for control, scores in one.scores.controls.items():
            for reason in dict.fromkeys(scores.reasons.values()):
                found.setdefault((control, reason), []).append(method)
    lines = (
        f"{control} without a score{_of_methods(methods, standings)}: {reason}"
        for (control, reason), methods in found.items()
    )
    return "".join(f'<p class="faint">{escaped(line)}</p>' for line in lines)


def _of_methods(methods: Sequence[str], standings: Mapping[str, Standing]) -> str:
    return "" if len(methods) == len(standings) else f" for samples of {_listed(methods)}"


def _undefined(standings: Mapping[str, Standing]) -> str:
    """Why samples have no score, the first reason of each method."""
    why = {name: next(iter(one.scores.reasons.values())) for name, one in standings.items() if one.scores.reasons}
    return _folded("Samples without a score", f"<table>{_rows(why)}</table>") if why else ""


def _curves(standings: Mapping[str, Standing]) -> str:
    """The mean curves of the best methods over shares of the features, and of the first control in grey, as SVG."""
    best = sorted(standings, key=lambda name: _rank(standings[name].scores))[:_CURVES]
    shown = {name: one for name, one in standings.items() if name in best}
    drawn = [(label, curve) for label, curve in _mean_curves(shown) if len(curve[0]) > 1]
    if not drawn:
        return ""
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, (x, y)) in enumerate(drawn):
        grey = label == _GREY
        axes.plot(
            x,
            y,
            label=visible(label).replace("$", r"\$"),
            color="#7F7F7F" if grey else _COLOURS[number % 7],
            ls="--" if grey else "-",
        )
    axes.set_xlabel("share of the features, most relevant first")
    axes.set_ylabel(f"mean {_quantity(_first(standings))}")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, ncols=2, frameon=False)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "xaionnx", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": "xaionnx"})
    text = stream.getvalue()
    said = f'<p class="faint">The {len(shown)} methods with the best means.</p>' if len(shown) < len(standings) else ""
    # Texts are drawn as paths, and written once more into comments.
    return re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL) + said


def _quantity(scores: Scores) -> str:
    """What the curve of a metric shows: the target, or the probability of its class."""
    return str(scores.provenance.get("metric", {}).get("quantity", "target"))


def _rank(scores: Scores) -> float:
    mean = math.inf if math.isnan(scores.mean) else scores.mean
    return -mean if scores.direction == "higher" and math.isfinite(mean) else mean


def _mean_curves(standings: Mapping[str, Standing]) -> Iterator[tuple[str, tuple[Array, Array]]]:
    """The label and the mean curve of each method, with its number of samples if these differ, and of a control."""
    known = {name: one.scores for name, one in standings.items() if {"share", "target"} <= set(one.scores.curves)}
    counts = {scores.count for scores in known.values()}
    for name, scores in known.items():
        label = name if len(counts) == 1 else f"{name}, {counted(scores.count, 'sample')}"
        yield label, mean_curve(scores.curves["share"], scores.curves["target"])
    # The methods have the same control, of as many samples as each was scored on.
    longest = max(known.values(), key=lambda scores: scores.count, default=None)
    if longest is not None and longest.control is not None:
        yield _GREY, mean_curve(longest.control.curves["share"], longest.control.curves["target"])


def _without_scores(table: ScoreTable) -> str:
    """What has no scores, and what has none of further samples, with the reasons."""
    found = ""
    for title, some in (("Without scores", False), ("Without further scores", True)):
        groups = [(reason, names) for reason, names in table.without_scores() if table.has_scores(names[0]) == some]
        rows = "".join(
            f"<tr><td>{escaped(reason)}</td><td>{escaped(', '.join(names))}</td></tr>" for reason, names in groups
        )
        if groups:
            found += f"<h2>{title}</h2>{_folded(counted(len(groups), 'reason'), f'<table>{rows}</table>')}"
    return found


def _how_made(table: ScoreTable) -> str:
    facts = {name: value for name, value in table.provenance.items() if not isinstance(value, Mapping)}
    settings = [
        _folded(escaped(name), f"<table>{_rows(value)}</table>")
        for name, value in table.provenance.items()
        if isinstance(value, Mapping)
    ]
    return f"<h2>How it was made</h2><table>{_rows(facts)}</table>{''.join(settings)}"


def _rows(facts: Mapping[str, object]) -> str:
    each = ((escaped(str(name)), escaped(_words(value))) for name, value in facts.items())
    return "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in each)


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3g}"
