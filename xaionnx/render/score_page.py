"""A page of scores: methods by metrics with intervals, controls, curves, and what they say in words."""

from __future__ import annotations

import html as markup
import io
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.evaluation.table import LEVEL, ScoreTable, Standing

if TYPE_CHECKING:
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
.best{font-weight:700;color:var(--good)}.lost{color:var(--bad)}svg{max-width:100%;height:auto}
"""
_BETTER: Final = {"higher": "higher is better", "lower": "lower is better", "none": "neither is better"}
# Colours that readers with any colour vision can tell apart (Okabe and Ito).
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#7F7F7F")


def score_page(table: ScoreTable, title: str = "") -> str:
    """Return a whole HTML document, which loads nothing and runs no script.

    Parameters
    ----------
    table : ScoreTable
    title : str
        What was scored; the name of the model if empty.
    """
    name = markup.escape(title or str(table.provenance.get("model", "scores")))
    standings = {metric: table.standings(metric) for metric in table.metrics}
    body = "".join(
        [
            f"<h1>{name}</h1>",
            "".join(f"<p>{markup.escape(line)}</p>" for line in verdict(table)),
            _summary(table, standings),
            *(_metric(metric, each) for metric, each in standings.items()),
            _refused(table.refused),
            _how_made(table),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="generator" content="xaionnx"><title>{name}</title><style>{_STYLE}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )


def verdict(table: ScoreTable) -> list[str]:
    """What the scores say, in sentences: who is best, and who is no better than the controls."""
    found = []
    for metric in table.metrics:
        standings = table.standings(metric)
        best = next((name for name, one in standings.items() if one.best), None)
        tested = {name: one for name, one in standings.items() if not math.isnan(one.p_control)}
        lost = [name for name, one in tested.items() if not one.beats_control]
        if best is not None and best not in lost:
            found.append(f"{metric}: {best} is better than every other method.")
        if lost:
            verb = "is" if len(lost) == 1 else "are"
            found.append(f"{metric}: {', '.join(lost)} {verb} no better than the control.")
        if not tested:
            found.append(f"{metric}: too few samples for a test; at least 6 are needed.")
    return found


def _summary(table: ScoreTable, standings: Mapping[str, Mapping[str, Standing]]) -> str:
    head = "".join(f"<th>{markup.escape(metric)}</th>" for metric in standings)
    rows = []
    for name in table.methods:
        cells = "".join(_cell(each.get(name)) for each in standings.values())
        seconds = table.seconds.get(name, math.nan)
        rows.append(f'<tr><td>{markup.escape(name)}</td><td class="n">{_seconds(seconds)}</td>{cells}</tr>')
    return (
        f"<h2>All</h2><table><tr><th>method</th><th>a sample</th>{head}</tr>{''.join(rows)}</table>"
        '<p class="faint">Mean over samples. Bold: significantly better than every other method. Red: not '
        "significantly better than the control. Tests: Wilcoxon's signed ranks of the same samples, "
        f"p &lt; {LEVEL}, corrected after Holm.</p>"
    )


def _cell(standing: Standing | None) -> str:
    if standing is None:
        return '<td class="n faint">none</td>'
    lost = not standing.beats_control and not math.isnan(standing.p_control)
    kind = " best" if standing.best and not lost else " lost" if lost else ""
    return f'<td class="n{kind}">{_number(standing.scores.mean)}</td>'


def _metric(metric: str, standings: Mapping[str, Standing]) -> str:
    first = next(iter(standings.values())).scores
    controls = list(first.controls)
    head = "".join(f"<th>{markup.escape(name)}</th>" for name in controls)
    rows = "".join(
        f'<tr><td>{markup.escape(name)}</td><td class="n">{_number(one.scores.mean)}</td>'
        f'<td class="n">{_number(one.scores.interval[0])} to {_number(one.scores.interval[1])}</td>'
        + "".join(f'<td class="n">{_number(one.scores.controls[control].mean)}</td>' for control in controls)
        + f'<td class="n">{_number(one.p_control)}</td><td class="n">{one.scores.count}</td></tr>'
        for name, one in standings.items()
    )
    return (
        f'<h2>{markup.escape(metric)} <span class="faint">{_BETTER[first.direction]}</span></h2>'
        f"<table><tr><th>method</th><th>mean</th><th>95 % interval</th>{head}<th>p (control)</th><th>samples</th></tr>"
        f"{rows}</table>{_curves(standings)}"
    )


def _curves(standings: Mapping[str, Standing]) -> str:
    """The mean curves of all methods over shares of the features, and of the first control in grey, as SVG."""
    drawn = [(name, curve) for name, curve in _mean_curves(standings) if len(curve[0]) > 1]
    if not drawn:
        return ""
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, (x, y)) in enumerate(drawn):
        grey = name == "control"
        axes.plot(x, y, label=name, color="#7F7F7F" if grey else _COLOURS[number % 7], ls="--" if grey else "-")
    axes.set_xlabel("share of the features")
    axes.set_ylabel("mean of the target")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, ncols=2, frameon=False)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "xaionnx", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": "xaionnx"})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _mean_curves(standings: Mapping[str, Standing]) -> Iterator[tuple[str, tuple[Array, Array]]]:
    known = {name: one.scores for name, one in standings.items() if {"share", "target"} <= set(one.scores.curves)}
    for name, scores in known.items():
        yield name, (_mean(scores.curves["share"]), _mean(scores.curves["target"]))
    for scores in list(known.values())[:1]:
        if scores.control is not None:
            yield "control", (_mean(scores.control.curves["share"]), _mean(scores.control.curves["target"]))


def _mean(curves: Array) -> Array:
    return np.asarray(np.nanmean(curves, axis=0)) if np.isfinite(curves).any(axis=0).all() else np.zeros(0)


def _refused(refused: Mapping[str, str]) -> str:
    if not refused:
        return ""
    return f"<h2>Without scores</h2><table>{_rows(refused)}</table>"


def _how_made(table: ScoreTable) -> str:
    return f"<h2>How it was made</h2><table>{_rows(table.provenance)}</table>"


def _rows(facts: Mapping[str, object]) -> str:
    each = ((markup.escape(str(name)), markup.escape(str(value))) for name, value in facts.items())
    return "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in each)


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3g}"
