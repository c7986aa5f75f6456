"""Ten methods on one model, each answer compared with plain onnxruntime."""

from __future__ import annotations

import itertools
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from xaionnx_kernels import masks

import xaionnx
from tests.real.catalogue import Entry
from tests.real.feeds import feeds_of
from tests.real.frozen import NoOracleError, frozen
from tests.real.plain import Plain, in_single
from xaionnx import Explanation, Model, Target
from xaionnx.errors import XaionnxError
from xaionnx.graph.widen import is_narrow

Array = np.ndarray[Any, Any]
# One explanation, in seconds.
METHOD_LIMIT = 40
# Ops whose numbers are rounded to integers.
INTEGERS = {
    *("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"),
    *("QLinearConv", "QLinearMatMul", "QuantizeLinear"),
}
EPSILON = float(np.finfo(np.float32).eps)


@dataclass
class Cell:
    """What came of one method on one model.

    Attributes
    ----------
    state : str
        ``works``, ``refused``, ``inexact`` (the record says so), ``wrong``, ``meaningless``, ``unchecked``, ``slow`` or
        ``crash``.
    note : str
        By how much the answer agrees, or what is the matter.
    ratio : float or None
        Time of one evaluation of the model in the explanation over one run of the bare session.
    """

    method: str
    state: str
    note: str = ""
    ratio: float | None = None
    seconds: float | None = None


class Bad(Exception):
    """The answer does not agree with plain onnxruntime: the state of its cell, and what is the matter."""

    def __init__(self, state: str, note: str) -> None:
        super().__init__(note)
        self.state, self.note = state, note


@dataclass
class Case:
    """A model, a sample, and what plain onnxruntime says about them."""

    entry: Entry
    path: Path
    feeds: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        self.feeds = feeds_of(self.entry)
        self.plain = Plain(onnx.load(self.path), dict(self.entry.target))
        self.plain.settle(self.feeds)
        self.score = self.plain.score(self.feeds)
        self.bare = self.plain.bare(self.feeds)

    @cached_property
    def model(self) -> Model:
        return Model.load(self.path, axes=self.entry.stated, rows=self.entry.rows)

    @property
    def target(self) -> Target:
        chosen = self.plain.target
        if "key" in chosen:
            return Target.label(str(chosen["key"]), output=chosen["output"])
        index = chosen["index"]
        if chosen["output"] not in {info.name for info in self.model.outputs}:
            return Target.neuron(chosen["output"], index)
        return Target.sum(output=chosen["output"]) if index == [] else Target.index(index, output=chosen["output"])

    @property
    def removable(self) -> list[str]:
        """Inputs that have players."""
        return [name for name, given in self.entry.inputs.items() if given.cut]

    @cached_property
    def features(self) -> dict[str, Array]:
        """Labels of the players by input, the axis of samples included where there is one."""
        labels: dict[str, Array] = {}
        for name in self.removable:
            first = 1 + max((int(map_.max()) for map_ in labels.values()), default=-1)
            labels[name] = self.entry.inputs[name].labels(self.feeds[name].shape, first)
        return labels

    @property
    def players(self) -> int:
        return 1 + max(int(map_.max()) for map_ in self.features.values())

    def baseline_of(self, name: str) -> float:
        return float(self.entry.inputs[name].pad or 0)

    @property
    def baseline(self) -> Any:
        """What the explanations are given as their baseline."""
        found = {name: self.baseline_of(name) for name in self.removable}
        if len(found) == 1:
            (only,) = found.values()
            return int(only) if only else 0
        return found if any(found.values()) else 0

    def without(self, labels: Mapping[str, Array], removed: set[int]) -> float:
        """The score with players removed, in plain onnxruntime."""
        feeds = dict(self.feeds)
        for name, map_ in labels.items():
            x = self.feeds[name]
            gone = np.isin(np.broadcast_to(map_, x.shape), list(removed))
            feeds[name] = np.where(gone, np.asarray(self.baseline_of(name), dtype=x.dtype), x)
        return self.plain.score(feeds)

    @cached_property
    def game(self) -> tuple[Array, Array]:
        """All coalitions (2^P, P), and the score of each."""
        rows = np.array(list(itertools.product([False, True], repeat=self.players)))
        scores = [self.without(self.features, set(np.flatnonzero(~row).tolist())) for row in rows]
        return rows, np.array(scores)

    def tokens(self, name: str) -> bool:
        """Whether an input holds numbers of tokens."""
        return "tokens" in self.entry.inputs[name].make

    @property
    def quantised(self) -> bool:
        """Whether the file computes with integers of 8 bits."""
        return any(node.op_type in INTEGERS for node in self.plain.proto.graph.node)

    @property
    def rounds(self) -> bool:
        """Whether the file rounds numbers between its nodes, to integers or to half precision."""
        return self.quantised or is_narrow(self.plain.proto)

    def given_features(self) -> dict[str, Array]:
        """The labels as `features` takes them: without the axis of samples."""
        found = {}
        for name, map_ in self.features.items():
            has = "N" in self.entry.inputs[name].roles
            found[name] = map_[0] if has else map_
        return found


def close(found: Array | float, expected: Array | float, scale: float, tolerance: float = 1e-3) -> float:
    """The largest difference over ``scale``; raises `Bad` beyond the tolerance."""
    apart = float(np.max(np.abs(np.asarray(found) - np.asarray(expected)))) / max(scale, 1e-30)
    if not apart <= tolerance:
        raise Bad("wrong", f"{apart:.2g} apart: {_few(found)} where plain onnxruntime says {_few(expected)}")
    return apart


def _few(values: Array | float) -> str:
    return np.array2string(np.ravel(np.asarray(values, dtype=np.float64))[:5], precision=4, separator=", ")


def values_of(case: Case, result: Explanation) -> tuple[dict[str, Array], str | None]:
    """The values by the name of what they belong to, and the inner tensor that they belong to if they do."""
    layer = (result.provenance.get("layer") or {}).get("name")
    if isinstance(result.values, dict):
        return {name: np.asarray(array) for name, array in result.values.items()}, layer
    if layer is not None:
        return {layer: result.values}, layer
    names = [name for name, x in case.feeds.items() if x.shape == result.values.shape]
    names = [name for name in names if name in case.removable] or names
    if not names:
        raise Bad("wrong", f"values {result.values.shape} have the shape of no input")
    return {names[0]: result.values}, None


def point(case: Case, values: Mapping[str, Array], layer: str | None) -> tuple[Plain, dict[str, Array]]:
    """The model that starts where the values are, and its feeds."""
    if layer is None or layer in case.feeds:
        return case.plain, dict(case.feeds)
    try:
        value, tail = case.plain.inside(layer, case.feeds)
    except KeyError:
        raise Bad("unchecked", f"the file has no tensor {layer}") from None
    return tail, {**case.feeds, layer: value}


def check_prediction(case: Case, result: Explanation) -> None:
    if result.prediction.shape != (1,):
        raise Bad("wrong", f"{result.prediction.size} predictions for one sample")
    noise = 0.02 if case.quantised else 0.004 if case.rounds else 1e-4
    close(result.prediction[0], case.score, abs(case.score) + 1e-6, noise)


def check_finite(case: Case, result: Explanation) -> None:
    if not all(np.isfinite(array).all() for array in values_of(case, result)[0].values()):
        raise Bad("wrong", "values are not finite")


def check_gradient(case: Case, result: Explanation) -> str:
    """Compare slopes with central differences along two directions."""
    values, layer = values_of(case, result)
    plain, feeds = point(case, values, layer)
    rng = np.random.default_rng(5)
    if any(values[name].shape != feeds[name].shape for name in values):
        raise Bad("wrong", f"values {[array.shape for array in values.values()]} of other shapes")
    size = {name: float(np.sqrt(np.mean(np.square(feeds[name], dtype=np.float64)))) or 1.0 for name in values}
    if not any(np.any(array) for array in values.values()):
        raise Bad("meaningless", f"all zero{_moves(plain, feeds, size)}")
    if case.quantised:
        return _correlation(plain, feeds, values, size)
    if case.rounds:
        plain = Plain(in_single(plain.proto), plain.target)
        feeds = {n: x.astype(np.float32) if x.dtype == np.float16 else x for n, x in feeds.items()}
    notes = []
    for kind in ("along", "random"):
        direction = {}
        for name, slope in values.items():
            slope = slope.astype(np.float64)
            spread = (
                rng.uniform(0.5, 1.5, slope.shape) * np.sign(slope) if kind == "along" else rng.normal(size=slope.shape)
            )
            direction[name] = spread
        largest = max(float(np.abs(d).max()) / size[name] for name, d in direction.items()) or 1.0
        direction = {name: d / largest for name, d in direction.items()}
        notes.append(_difference(plain, feeds, values, direction, must=kind == "along"))
    return f"differences {max(notes):.1g}"


def _moves(plain: Plain, feeds: Mapping[str, Array], size: Mapping[str, float]) -> str:
    rng = np.random.default_rng(6)
    moved = {n: (feeds[n] + 0.1 * size[n] * rng.normal(size=feeds[n].shape)).astype(feeds[n].dtype) for n in size}
    change = plain.score({**feeds, **moved}) - plain.score(feeds)
    return f", and the score changes by {change:.3g} with a little noise"


def _difference(
    plain: Plain, feeds: Mapping[str, Array], slopes: Mapping[str, Array], direction: Mapping[str, Array], must: bool
) -> float:
    """The smallest relative difference between slope and central differences over a ladder of steps."""
    tried = []
    jitter = _jitter(plain, feeds, list(slopes))
    for step in (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6):
        ends, predicted = [], 0.0
        moved = [
            {n: (feeds[n] + sign * step * d).astype(feeds[n].dtype) for n, d in direction.items()} for sign in (1, -1)
        ]
        for name, slope in slopes.items():
            # What the rounded feeds really moved by.
            change = moved[0][name].astype(np.float64) - moved[1][name].astype(np.float64)
            predicted += float((slope.astype(np.float64) * change).sum())
        ends = [plain.score({**feeds, **each}) for each in moved]
        measured = ends[0] - ends[1]
        precision = EPSILON if feeds[next(iter(slopes))].dtype != np.float16 else 1e-3
        noise = max(8 * precision * max(abs(ends[0]), abs(ends[1]), 1e-12), jitter)
        if abs(predicted) > 10 * noise or abs(measured) > 10 * noise:
            # Along a random direction slopes cancel, but what a step misses of each does not.
            parts = np.concatenate([(d * slopes[name]).ravel() for name, d in direction.items()]).astype(np.float64)
            size = 0.0 if must else 2 * step * max(float(np.linalg.norm(parts)), 0.2 * float(np.abs(parts).sum()))
            tried.append((abs(measured - predicted) / max(abs(predicted), abs(measured), size), measured, predicted))
    if not tried:
        if must:
            raise Bad("unchecked", "differences drown in rounding")
        return 0.0
    best = min(tried)
    if best[0] > 0.05:
        raise Bad("wrong", f"central differences say {best[1]:.4g}, the slopes {best[2]:.4g}")
    return best[0]


def _jitter(plain: Plain, feeds: Mapping[str, Array], names: list[str]) -> float:
    """By how much the score moves with the last bits of its inputs: the rounding of all layers together."""
    rng = np.random.default_rng(9)
    scores = []
    for _ in range(5):
        near = {
            name: (feeds[name] * (1 + EPSILON * rng.choice([-1, 0, 1], feeds[name].shape))).astype(feeds[name].dtype)
            for name in names
        }
        scores.append(plain.score({**feeds, **near}))
    return 2 * float(np.ptp(scores))


def _correlation(
    plain: Plain, feeds: Mapping[str, Array], slopes: Mapping[str, Array], size: Mapping[str, float]
) -> str:
    """Quantised files move in steps, so slopes are held against large moves in many directions."""
    rng = np.random.default_rng(7)
    measured, predicted = [], []
    for _ in range(32):
        moves = {}
        for name, slope in slopes.items():
            which = rng.uniform(size=slope.shape) < 0.3
            sign = np.where(rng.uniform() < 0.5, 1, -1)
            moves[name] = 0.3 * size[name] * which * np.abs(rng.normal(size=slope.shape)) * np.sign(slope) * sign
        ends = [
            plain.score({**feeds, **{n: (feeds[n] + s * m).astype(feeds[n].dtype) for n, m in moves.items()}})
            for s in (1, -1)
        ]
        measured.append(ends[0] - ends[1])
        predicted.append(sum(float((2 * moves[n] * slopes[n]).sum()) for n in slopes))
    r = float(np.corrcoef(measured, predicted)[0, 1])
    if not r > 0.7:
        raise Bad("wrong", f"slopes correlate {r:.2f} with the changes of large steps")
    return f"correlation {r:.2f}"


def check_completeness(case: Case, result: Explanation, tolerance: float) -> str:
    values, layer = values_of(case, result)
    if layer is None or layer in case.feeds:
        at_baseline = case.plain.score({**case.feeds, **{name: np.zeros_like(case.feeds[name]) for name in values}})
    else:
        # At an embedding the path starts at the token that stands for none; what passes it by stays as it is.
        tail, feeds = point(case, values, layer)
        name = main_input(case)
        none = np.full_like(case.feeds[name], case.baseline_of(name))
        at_baseline = tail.score({**feeds, layer: case.plain.inside(layer, {**case.feeds, name: none})[0]})
    change = case.score - at_baseline
    total = sum(float(array.astype(np.float64).sum()) for array in values.values())
    if not any(np.any(array) for array in values.values()):
        raise Bad("meaningless", f"all zero, where the score changes by {change:.3g}")
    noise = (200 if layer is None else 400) * EPSILON * (abs(case.score) + abs(at_baseline))
    noise += 0.03 * abs(change) if case.rounds else 0
    if abs(total - change) > tolerance * abs(change) + noise:
        stated = float(np.ravel(result.diagnostics.get("relative_gap", [np.nan]))[0])
        found = f"values sum to {total:.4g}, the score changes by {change:.4g}"
        told = bool(result.warnings) and abs(stated - abs(total - change) / abs(change)) < 0.05 * stated
        raise Bad("inexact", f"{found}, and the record warns of it") if told else Bad("wrong", found)
    return f"sum {abs(total - change) / max(abs(change), 1e-30):.1g} apart"


def check_removal(case: Case, result: Explanation, expected: Array) -> str:
    if result.feature_values is None or result.feature_values.shape != (1, len(expected)):
        shape = None if result.feature_values is None else result.feature_values.shape
        raise Bad("wrong", f"feature values {shape} for {len(expected)} players")
    _, scores = case.game
    scale = max(float(np.abs(scores - scores[-1]).max()), 30 * EPSILON * abs(case.score), 1e-12)
    loose = 0.02 if case.rounds else 2e-3
    return f"by hand {close(result.feature_values[0], expected, scale, loose):.1g}"


def shapley(rows: Array, scores: Array) -> Array:
    """Shapley values from the scores of all coalitions."""
    players = rows.shape[1]
    index = {tuple(row): score for row, score in zip(rows.tolist(), scores, strict=True)}
    weight = [1.0 / (players * _choose(players - 1, size)) for size in range(players)]
    values = np.zeros(players)
    for row in rows:
        for player in np.flatnonzero(~row):
            more = row.copy()
            more[player] = True
            values[player] += weight[int(row.sum())] * (index[tuple(more.tolist())] - index[tuple(row.tolist())])
    return values


def _choose(n: int, k: int) -> float:
    return float(np.prod([(n - i) / (i + 1) for i in range(k)]))


def lime_values(rows: Array, scores: Array) -> Array:
    """Coefficients of the weighted ridge regression over all coalitions, cosine kernel of width 0.25, alpha 1."""
    distance = 1 - np.sqrt(rows.mean(axis=1))
    weights = np.exp(-np.square(distance / 0.25) / 2)
    design = np.column_stack([np.ones(len(rows)), rows])
    penalty = np.diag([0.0, *[1.0] * rows.shape[1]])
    return np.linalg.solve(design.T @ (design * weights[:, None]) + penalty, design.T @ (weights * scores))[1:]


def plane(case: Case, name: str) -> list[int]:
    """The axes along which windows and masks run: space, else time, and the bands of a spectrogram with channels."""
    roles = case.entry.inputs[name].roles
    axes = [axis for axis, role in enumerate(roles) if role in "HW"]
    if not axes:
        axes = [axis for axis, role in enumerate(roles) if role == "T" or (role == "F" and "C" in roles)]
    return axes or [axis for axis, role in enumerate(roles) if role == "F"]


def window_of(case: Case, name: str) -> tuple[int, ...]:
    """About three windows along each axis, six along one."""
    axes = plane(case, name)
    return tuple(-(-case.feeds[name].shape[axis] // (3 if len(axes) == 2 else 6)) for axis in axes)


def main_input(case: Case) -> str:
    """The input that one map is drawn over: the first that has players."""
    return case.removable[0]


def check_occlusion(case: Case, result: Explanation) -> str:
    values, _ = values_of(case, result)
    name = main_input(case)
    if name not in values:
        raise Bad("meaningless", f"explains {', '.join(values)}, not {name}")
    axes, window, x = plane(case, name), window_of(case, name), case.feeds[name]
    found, expected = [], []
    corners = itertools.product(*(range(0, x.shape[axis], side) for axis, side in zip(axes, window, strict=True)))
    for corner in corners:
        region: list[slice] = [slice(None)] * x.ndim
        for axis, start, side in zip(axes, corner, window, strict=True):
            region[axis] = slice(start, start + side)
        covered = x.copy()
        covered[tuple(region)] = case.baseline_of(name)
        expected.append(case.score - case.plain.score({**case.feeds, name: covered}))
        inside = values[name][tuple(region)]
        spread = float(np.ptp(inside))
        if spread > 1e-6 * float(np.abs(values[name]).max()) + 1e-12:
            raise Bad("meaningless", "values differ inside a window: the windows run along other axes")
        found.append(float(inside.ravel()[0]))
    scale = max(float(np.abs(expected).max()), 30 * EPSILON * abs(case.score), 1e-12)
    loose = 0.02 if case.rounds else 2e-3
    return f"by hand {close(np.array(found), np.array(expected), scale, loose):.1g}"


MASKS, CELLS, KEEP = 16, 3, 0.5


def check_rise(case: Case, result: Explanation) -> str:
    """The published sum, equation 6, over the same masks, in plain onnxruntime."""
    values, _ = values_of(case, result)
    name = main_input(case)
    if name not in values:
        raise Bad("meaningless", f"explains {', '.join(values)}, not {name}")
    axes, x = plane(case, name), case.feeds[name]
    extent = tuple(x.shape[axis] for axis in axes)
    sides = (1, *extent) if len(extent) == 1 else extent
    grid = tuple(min(CELLS, side) for side in sides)
    cell = tuple(-(-side // count) for side, count in zip(sides, grid, strict=True))
    drawn = masks.rise_masks(
        masks.rise_cells(0, 0, MASKS, grid, KEEP), masks.rise_shifts(0, 0, MASKS, cell), cell, sides
    )
    drawn = drawn.reshape(MASKS, *[extent[axes.index(axis)] if axis in axes else 1 for axis in range(x.ndim)])
    total = np.zeros(x.shape)
    for mask in drawn.astype(np.float64):
        total += case.plain.score({**case.feeds, name: (x * mask).astype(x.dtype)}) * mask
    expected = total / (MASKS * KEEP)
    if values[name].shape != x.shape:
        raise Bad("wrong", f"values {values[name].shape} for an input {x.shape}")
    scale = max(float(np.abs(expected).max()), 1e-12)
    loose = 0.02 if case.rounds else 2e-3
    return f"by hand {close(values[name], expected, scale, loose):.1g}"


def check_cam(case: Case, result: Explanation) -> str:
    """The map against differences at its layer: where it is positive it is a directional derivative."""
    layer = result.provenance.get("seen_at") or result.provenance.get("layer")
    layer = layer["name"] if isinstance(layer, dict) else layer
    cam = np.asarray(result.maps["cam"], dtype=np.float64)[0]
    values = next(iter(result.values.values())) if isinstance(result.values, dict) else result.values
    if layer is None:
        raise Bad("unchecked", "the record names no layer")
    activation, tail = point(case, {}, layer)[::-1]
    planes = activation[layer]
    try:
        return cam_by_differences(case, tail, activation, layer, planes, cam, np.asarray(values))
    except Bad as bad:
        # The map is of floats, and the file rounds what it computes to integers.
        if bad.state != "wrong" or "arithmetic" not in result.provenance:
            raise
        raise Bad("inexact", f"{bad.note}, and the record tells the arithmetic") from bad


def _places(planes: Array, cam: Array) -> list[int] | None:
    """The axes of the layer that the map lies over; those of rows or slices are one in the map."""
    size = [side for side in cam.shape if side != 1] or [1]
    # The first axis is that of the samples, unless the layer has it elsewhere or not at all.
    for first in (1, 0):
        for axes in itertools.combinations(range(first, planes.ndim), len(size)):
            if [planes.shape[axis] for axis in axes] == size:
                return list(axes)
    for axes in itertools.combinations(range(planes.ndim), len(size) + 1):
        rows, columns, *rest = (planes.shape[axis] for axis in axes)
        if [rows * columns, *rest] == size:
            return list(axes)
    return None


def cam_by_differences(
    case: Case, tail: Plain, feeds: dict[str, Array], layer: str, planes: Array, cam: Array, values: Array
) -> str:
    if not np.any(cam):
        change = _moves(tail, feeds, {layer: float(np.abs(planes).mean()) or 1.0})
        signed = xaionnx.explain(case.model, case.feeds, "grad_cam", case.target, relu=False)
        if not np.any(signed.maps["cam"]):
            raise Bad("meaningless", f"the signed map at {layer} is all zero too{change}")
        cam = -np.asarray(signed.maps["cam"], dtype=np.float64)[0]
    axes = _places(planes, cam)
    if axes is None:
        raise Bad("unchecked", f"a map {cam.shape} over {layer} {planes.shape}")
    sign = -1.0 if not np.any(np.asarray(values)) else 1.0
    positive = cam > 0
    wide = np.expand_dims(
        positive.reshape([planes.shape[a] for a in axes]), [a for a in range(planes.ndim) if a not in axes]
    )
    weight = np.where(wide, planes, 0).astype(np.float64).sum(axis=tuple(axes), keepdims=True)
    places = int(np.prod([planes.shape[axis] for axis in axes]))
    direction = np.broadcast_to(weight, planes.shape) / places
    expected = sign * float(cam[positive].sum())
    largest = float(np.abs(direction).max()) or 1.0
    size = float(np.abs(planes).mean()) or 1.0
    tried = []
    for step in (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3):
        move = (step * size / largest * direction).astype(planes.dtype)
        ends = [tail.score({**feeds, layer: planes + s * move}) for s in (1, -1)]
        measured = (ends[0] - ends[1]) / (2 * step * size / largest)
        noise = 8 * EPSILON * max(map(abs, ends)) / (2 * step * size / largest)
        if abs(expected) > 10 * noise or abs(measured) > 10 * noise:
            tried.append((abs(measured - expected) / max(abs(measured), abs(expected)), measured))
    if not tried:
        raise Bad("unchecked", "differences drown in rounding")
    best = min(tried)
    if best[0] > (0.3 if case.quantised else 0.05):
        raise Bad("wrong", f"at {layer} differences say {best[1]:.4g}, the map {expected:.4g}")
    return f"differences {best[0]:.1g} at {layer}"


def check_lrp(case: Case, result: Explanation) -> str:
    values, layer = values_of(case, result)
    if not any(np.any(array) for array in values.values()):
        raise Bad("meaningless", "all zero")
    return lrp_by_freezing(case, values, layer)


def lrp_by_freezing(case: Case, values: Mapping[str, Array], layer: str | None) -> str:
    """The epsilon rule is x times the slope of the model with its gates and ratios of activations held constant."""
    plain, feeds = point(case, values, layer)
    try:
        held = frozen(plain, feeds, values)
    except NoOracleError as error:
        raise Bad("unchecked", f"no oracle: {error}") from None
    rng = np.random.default_rng(8)
    apart = []
    # What raises and what lowers, one by one: their sums cancel in a deep model, and so would their errors.
    for sign in (1, -1):
        share = {name: rng.uniform(size=array.shape) * (sign * array > 0) for name, array in values.items()}
        moved = [
            {name: (feeds[name] * (1 + way * 0.5 * share[name])).astype(feeds[name].dtype) for name in values}
            for way in (1, -1)
        ]
        measured = held.score({**feeds, **moved[0]}) - held.score({**feeds, **moved[1]})
        predicted = sum(float((share[name] * values[name]).sum()) for name in values)
        scale = sum(float(np.abs(values[name]).sum()) for name in values)
        apart.append(abs(measured - predicted) / max(abs(measured), abs(predicted), 1e-3 * scale))
        if apart[-1] > 0.03:
            raise Bad("wrong", f"relevance {predicted:.4g} where the model with held gates says {measured:.4g}")
    return f"held gates {max(apart):.1g}"


def check_ablation(case: Case, result: Explanation) -> str:
    rows, scores = case.game
    expected = np.array(
        [
            scores[-1] - scores[np.flatnonzero((rows == (np.arange(case.players) != p)).all(axis=1))[0]]
            for p in range(case.players)
        ]
    )
    return check_removal(case, result, expected)


def methods(case: Case) -> dict[str, tuple[dict[str, Any], Callable[[Case, Explanation], str]]]:
    """Settings and check of each method."""
    at = {"layer": case.entry.layer} if case.entry.layer else {}
    steps = 64 if case.bare < 0.02 else 32 if case.bare < 0.06 else 8
    every = {"features": case.given_features(), "baseline": case.baseline}
    budget = 2**case.players + 2
    name = main_input(case)
    window = window_of(case, name)
    start = case.baseline_of(name)
    start_of = int(start) if case.tokens(name) else 0
    return {
        "saliency": ({"absolute": False, **at}, check_gradient),
        "integrated_gradients": (
            {
                "steps": steps,
                "baseline": start_of,
                "tolerance": 0.04,
                "max_steps": 2048 if case.bare < 0.002 else 4 * steps,
            },
            lambda c, r: check_completeness(c, r, 0.05),
        ),
        "grad_cam": ({}, check_cam),
        "lrp": ({"composite": "epsilon", "epsilon": 1e-12, **at}, check_lrp),
        "deep_lift": ({"baseline": start_of, **at}, lambda c, r: check_completeness(c, r, 0.005)),
        "occlusion": (
            {"window": window, "stride": window, "baseline": int(start), "class_maps": False},
            check_occlusion,
        ),
        "rise": (
            {"budget": MASKS + 1, "grid": CELLS, "keep": KEEP, "estimator": "plain", "baseline": 0},
            check_rise,
        ),
        "lime": ({**every, "budget": budget}, lambda c, r: check_removal(c, r, lime_values(*c.game))),
        "kernel_shap": ({**every, "budget": budget}, lambda c, r: check_removal(c, r, shapley(*c.game))),
        "feature_ablation": (every, check_ablation),
    }


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise a TimeoutError in the main thread after some seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def try_method(case: Case, method: str) -> Cell:
    """Explain by one method and check the answer."""
    settings, check = methods(case)[method]
    seconds: list[float] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):
                start = time.perf_counter()
                with limit(METHOD_LIMIT):
                    result = xaionnx.explain(case.model, case.feeds, method, case.target, **settings)
                seconds.append(time.perf_counter() - start)
                if seconds[-1] > 15:
                    break
        evaluations = max(1, int(np.sum(result.diagnostics.get("evaluations", [1]))))
        ratio = min(seconds) / (evaluations * case.bare)
        check_prediction(case, result)
        check_finite(case, result)
        return Cell(method, "works", check(case, result), ratio, min(seconds))
    except TimeoutError:
        return Cell(method, "slow", f"no answer within {METHOD_LIMIT} s")
    except Bad as error:
        return Cell(method, error.state, error.note, None, min(seconds, default=None))
    except XaionnxError as error:
        return Cell(method, "refused", str(error))
    except Exception as error:  # noqa: BLE001 - a crash is what the table must show
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Cell(method, "crash", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")
