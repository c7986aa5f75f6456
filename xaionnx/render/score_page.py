"""A page of scores: methods by metrics with intervals, controls, curves, and what they say in words."""

from __future__ import annotations

import base64
import html as markup
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from xaionnx.evaluation.table import IGNORES_MODEL, LEVEL, ScoreTable, Standing, fewest_samples
from xaionnx.render.colours import sequential
from xaionnx.render.html_document import document, visible

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
.best{font-weight:700;color:var(--good)}.lost{color:var(--bad)}svg{max-width:100%;height:auto;background:#fff}
summary{cursor:pointer}.wide{overflow-x:auto}.strip td,.strip th{padding:.2rem .4rem .2rem 0;border:0;font-size:.75rem}
.strip th{max-width:72px;white-space:normal;overflow-wrap:anywhere}
.strip img{width:72px;height:72px;image-rendering:pixelated;display:block}
"""
_BETTER: Final = {"higher": "higher is better", "lower": "lower is better", "none": "neither is better"}
# Colours that readers with any colour vision can tell apart (Okabe and Ito).
# Curves, and lines of a verdict, that can be read beside each other.
_CURVES, _SENTENCES = 6, 8
# The side of a map of a strip, in pixels, and the percentile of its sizes that has the last colour.
_SIDE, _HIGHEST = 64, 99.0
# The longest name of a layer above a map.
_LONGEST: Final = 40
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#7F7F7F")


def score_page(table: ScoreTable, title: str = "", photo: Array | None = None, *, inputs: bool = True) -> str:
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
    """
    name = title or str(table.provenance.get("model", "scores"))
    standings = {metric: table.standings(metric) for metric in table.metrics}
    said = [f"<p>{_text(line)}</p>" for line in verdict(table)]
    body = "".join(
        [
            f"<h1>{_text(name)}</h1>",
            *said[:_SENTENCES],
            _folded("More", "".join(said[_SENTENCES:])),
            _summary(table, standings),
            _strips(standings, photo) if inputs else "",
            *(_metric(metric, each) for metric, each in standings.items()),
            _without_scores(table),
            _how_made(table),
        ]
    )
    return document(name, body, f"<style>{_STYLE}</style>")


def _text(text: str) -> str:
    return markup.escape(visible(text))


def _folded(heading: str, body: str) -> str:
    return f"<details><summary>{heading}</summary>{body}</details>" if body else ""


def verdict(table: ScoreTable) -> list[str]:
    """What the scores say, in sentences: first of the methods by all metrics, then by each.

    A method is better, or the best, only if a paired test that is corrected for the number of methods says so.
    """
    standings = {metric: table.standings(metric) for metric in table.metrics}
    said = dict[str, list[str]]()
    for metric, each in standings.items():
        for sentence in _of_metric(each):
            said.setdefault(sentence, []).append(metric)
    return [*_of_methods(standings), *(f"{', '.join(metrics)}: {sentence}" for sentence, metrics in said.items())]


def _of_methods(standings: Mapping[str, Mapping[str, Standing]]) -> Iterator[str]:
    """Who is better than the control by all metrics of faithfulness, who by none, and whose maps ignore the model."""
    won = dict[str, list[bool]]()
    faithful = list[str]()
    for metric, each in standings.items():
        tested = {name: one for name, one in each.items() if not math.isnan(one.p_control)}
        if tested and all(one.scores.category == "faithfulness" for one in tested.values()):
            faithful.append(metric)
            for name, one in tested.items():
                won.setdefault(name, []).append(one.beats_control)
    if len(faithful) > 1:
        always, never = ([name for name, each in won.items() if of(each)] for of in (all, lambda each: not any(each)))
        yield f"Better than the control by all of {', '.join(faithful)}: {', '.join(always) or 'none'}."
        yield f"Better by none of them: {', '.join(never) or 'none'}."
    changes = standings.get("parameter_randomisation", {})
    same = [name for name, one in changes.items() if one.scores.mean >= IGNORES_MODEL]
    if same:
        yield (
            f"Nearly the same maps when the weights of the model are random, so that they say little of the model: "
            f"{', '.join(same)}."
        )


def _of_metric(standings: Mapping[str, Standing]) -> Iterator[str]:
    best = next((name for name, one in standings.items() if one.best), None)
    tested = {name: one for name, one in standings.items() if not math.isnan(one.p_control)}
    lost = [name for name, one in tested.items() if not one.beats_control]
    if best is not None and best not in lost:
        yield f"{best} is better than every other method."
    if lost:
        verb = "is" if len(lost) == 1 else "are"
        yield f"{', '.join(lost)} {verb} no better than the control."
    if not tested:
        needed = fewest_samples(len(standings))
        methods = f"{len(standings)} method{'s' if len(standings) > 1 else ''}"
        yield f"too few samples for a test of {methods}; at least {needed} are needed."


def _summary(table: ScoreTable, standings: Mapping[str, Mapping[str, Standing]]) -> str:
    head = "".join(f"<th>{_text(metric)}</th>" for metric in standings)
    rows = []
    for name in table.methods:
        cells = "".join(_cell(each.get(name)) for each in standings.values())
        seconds = table.seconds.get(name, math.nan)
        rows.append(f'<tr><td>{_text(name)}</td><td class="n">{_seconds(seconds)}</td>{cells}</tr>')
    return (
        f'<h2>All</h2><div class="wide"><table><tr><th>method</th><th>a sample</th>{head}</tr>'
        f"{''.join(rows)}</table></div>"
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
    head = "".join(f"<th>{_text(name)}</th>" for name in controls)
    rows = "".join(
        f'<tr><td>{_text(name)}</td><td class="n">{_number(one.scores.mean)}</td>'
        f'<td class="n">{_number(one.scores.interval[0])} to {_number(one.scores.interval[1])}</td>'
        + "".join(f'<td class="n">{_number(one.scores.controls[control].mean)}</td>' for control in controls)
        + f'<td class="n">{_number(one.p_control)}</td><td class="n">{_count(one.scores)}</td></tr>'
        for name, one in standings.items()
    )
    return (
        f'<h2>{_text(metric)} <span class="faint">{_BETTER[first.direction]}</span></h2>'
        f"<table><tr><th>method</th><th>mean</th><th>95 % interval</th>{head}<th>p (control)</th><th>samples</th></tr>"
        f"{rows}</table>{_undefined(standings)}{_curves(standings)}"
    )


def _count(scores: Scores) -> str:
    return f"{scores.count}" if scores.count == len(scores.values) else f"{scores.count} of {len(scores.values)}"


def _undefined(standings: Mapping[str, Standing]) -> str:
    """Why samples have no score, the first reason of each method."""
    why = {name: next(iter(one.scores.reasons.values())) for name, one in standings.items() if one.scores.reasons}
    return _folded("Samples without a score", f"<table>{_rows(why)}</table>") if why else ""


def _curves(standings: Mapping[str, Standing]) -> str:
    """The mean curves of the best methods over shares of the features, and of the first control in grey, as SVG."""
    best = sorted(standings, key=lambda name: _rank(standings[name].scores))[:_CURVES]
    shown = {name: one for name, one in standings.items() if name in best}
    drawn = [(name, curve) for name, curve in _mean_curves(shown) if len(curve[0]) > 1]
    if not drawn:
        return ""
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, (x, y)) in enumerate(drawn):
        grey = name == "control"
        axes.plot(
            x,
            y,
            label=visible(name).replace("$", r"\$"),
            color="#7F7F7F" if grey else _COLOURS[number % 7],
            ls="--" if grey else "-",
        )
    axes.set_xlabel("share of the features")
    axes.set_ylabel("mean of the target")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, ncols=2, frameon=False)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "xaionnx", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": "xaionnx"})
    text = stream.getvalue()
    said = f'<p class="faint">The {len(shown)} methods with the best means.</p>' if len(shown) < len(standings) else ""
    # Texts are drawn as paths, and written once more into comments.
    return re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL) + said


def _rank(scores: Scores) -> float:
    mean = math.inf if math.isnan(scores.mean) else scores.mean
    return -mean if scores.direction == "higher" and math.isfinite(mean) else mean


def _mean_curves(standings: Mapping[str, Standing]) -> Iterator[tuple[str, tuple[Array, Array]]]:
    known = {name: one.scores for name, one in standings.items() if {"share", "target"} <= set(one.scores.curves)}
    for name, scores in known.items():
        yield name, (_mean(scores.curves["share"]), _mean(scores.curves["target"]))
    for scores in list(known.values())[:1]:
        if scores.control is not None:
            yield "control", (_mean(scores.control.curves["share"]), _mean(scores.control.curves["target"]))


def _mean(curves: Array) -> Array:
    return np.asarray(np.nanmean(curves, axis=0)) if np.isfinite(curves).any(axis=0).all() else np.zeros(0)


def _strips(standings: Mapping[str, Mapping[str, Standing]], photo: Array | None) -> str:
    """The maps of the first sample while the weights are randomised layer by layer, one row a method."""
    shown = [
        (metric, name, one.scores)
        for metric, each in standings.items()
        for name, one in each.items()
        if one.scores.maps
    ]
    if not shown:
        return ""
    seen = "" if photo is None else f"<p>{_image(_thumbnail(photo), 'the first input')}</p>"
    head = "".join(f"<th>{_text(name)}</th>" for name in _short_names([*shown[0][2].maps]))
    rows = "".join(f"<tr><td>{_text(name)}</td>{_strip(scores)}</tr>" for _, name, scores in shown)
    return (
        "<h2>Do the maps depend on the model?</h2>"
        "<p>The map of the first input, and those of the model with random weights: of the layer above alone, then of "
        "all layers up to it. A map that stays the same draws the input. Below each, its similarity to the first.</p>"
        f'<div class="strip wide">{seen}<table><tr><th></th>{head}</tr>{rows}</table></div>'
    )


def _short_names(names: Sequence[str]) -> list[str]:
    """Names of layers, of which those that are paths lose the end that all have, such as ``/Conv_output_0``.

    Examples
    --------
    >>> _short_names(["logits", "/head/Conv_output_0", "/block/in/Conv_output_0"])
    ['logits', 'head', 'block/in']
    """
    paths = [name.split("/") for name in names if "/" in name]
    shared = 0
    while paths and all(len(path) > shared + 2 and path[-shared - 1] == paths[0][-shared - 1] for path in paths):
        shared += 1
    short = [name.rsplit("/", shared)[0].strip("/") if "/" in name else name for name in names]
    return [name if len(name) <= _LONGEST else f"\u2026{name[-_LONGEST:]}" for name in short]


def _strip(scores: Scores) -> str:
    similar = scores.curves.get("similarity", np.zeros((0, 0)))[:1].reshape(-1)
    under = ["", *(_number(float(value)) for value in similar)]
    cells = []
    for (name, each), words in zip(scores.maps.items(), under, strict=False):
        cells.append(f"<td>{_image(_heat(each), f'{scores.method}, {name}')}{words}</td>")
    return "".join(cells)


def _thumbnail(photo: Array) -> Image.Image:
    image = Image.fromarray(np.asarray(photo, dtype=np.uint8))
    image.thumbnail((2 * _SIDE, 2 * _SIDE))
    return image


def _heat(values: Array) -> Image.Image:
    """Sizes of values in the colours of one scale, the largest the lightest."""
    sizes = Image.fromarray(np.abs(np.nan_to_num(values)).astype(np.float32))
    scale = min(1.0, _SIDE / max(sizes.size))
    small = sizes.resize([max(1, round(scale * side)) for side in sizes.size], Image.Resampling.BOX)
    shown = np.asarray(small)
    most = float(np.percentile(shown, _HIGHEST)) or float(shown.max()) or 1.0
    image = Image.fromarray(np.round(255 * np.minimum(shown / most, 1)).astype(np.uint8), "P")
    image.putpalette(np.round(sequential("viridis")).astype(np.uint8).tobytes())
    return image


def _image(image: Image.Image, text: str) -> str:
    """A small picture inside the page; ``text`` is what it shows."""
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{_text(text)}" src="data:image/png;base64,{data}">'


def _without_scores(table: ScoreTable) -> str:
    groups = table.without_scores()
    if not groups:
        return ""
    rows = "".join(f"<tr><td>{_text(reason)}</td><td>{_text(', '.join(names))}</td></tr>" for reason, names in groups)
    return f"<h2>Without scores</h2>{_folded(f'{len(groups)} reasons', f'<table>{rows}</table>')}"


def _how_made(table: ScoreTable) -> str:
    facts = {name: value for name, value in table.provenance.items() if not isinstance(value, Mapping)}
    settings = [
        _folded(_text(name), f"<table>{_rows(value)}</table>")
        for name, value in table.provenance.items()
        if isinstance(value, Mapping)
    ]
    return f"<h2>How it was made</h2><table>{_rows(facts)}</table>{''.join(settings)}"


def _rows(facts: Mapping[str, object]) -> str:
    each = ((_text(str(name)), _text(_words(value))) for name, value in facts.items())
    return "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in each)


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3g}"
