"""What each method makes of each model of the zoo, held against an answer by hand; the table of the docs.

    python -m tests.contracts.axes_cells              explains all anew, and keeps the results
    python -m tests.contracts.axes_cells rise lime    only by these methods

All take about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import xaionnx
from models import planted
from tests import tiny
from tests.contracts.axes_zoo import ZOO, Case
from tests.maskers import masker_of
from xaionnx import Explanation, Model, Target, discovery, parameters
from xaionnx.errors import XaionnxError
from xaionnx.optimization import MaskerTraining
from xaionnx.patterns import estimate_patterns

Array = npt.NDArray[Any]
RESULTS = Path(__file__).with_name("axes_results.json")

SETTINGS: dict[str, Any] = {
    "budget": 400, "window": 2, "stride": 2, "grid": 4, "baseline": 0.0, "steps": 8, "draws": 4,
    "absolute": False, "noise": 1e-3,
}  # fmt: skip
# Enough for a masker to find the part that a model reads.
LEARNING = MaskerTraining(
    steps=150, batch=16, width=4, learning_rate=0.005, baselines=["zero"], area=0.2, total_variation=0
)
GROUPS: dict[str, tuple[str, ...]] = {
    "pictures": (
        "picture of 4 bands", "picture of 13 bands", "picture of 2 bands, channels last",
        "gray picture, channels last", "picture without samples", "spectrogram without channels",
        "picture, samples second", "answer without samples",
    ),
    "volumes": ("volume", "volume of 2 channels, channels last", "volume without channels"),
    "series": (
        "series, channels first", "series, channels last", "waveform", "waveform without channels",
        "waveform and its rate",
    ),
    "recurrent": (
        "RNN, time first", "GRU, time first, dimensions without meaning", "LSTM, time second", "GRU, no samples",
        "LSTM with states", "RNN, scores by step, time first",
    ),
    "attention": ("attention", "attention under a mask"),
    "tokens": (
        "tokens as int64", "tokens as int32", "tokens as float32", "tokens, table of uint8", "tokens and a mask",
    ),
    "rows": ("scores before samples",),
}  # fmt: skip
MODELS = tuple(name for group in GROUPS.values() for name in group)
# From the weakest: see `Outcome`.
KINDS = ("wrong", "refused", "spread", "largest", "zero", "number")

CAMS = frozenset(
    {"ablation_cam", "cam", "causal_cam", "contrast_cam", "counterfactual_cam", "eigen_cam", "eigen_grad_cam",
     "finer_cam", "grad_cam", "grad_cam_pp", "guided_grad_cam", "hi_res_cam", "layer_cam", "score_cam", "x_grad_cam"}
)  # fmt: skip
# Methods that explain a layer: of the case, not the default one.
OF_LAYERS = frozenset({"conductance", "internal_influence", "layer_activation"})
# Methods whose values of a linear model are its slopes, or slopes times inputs, for each element, player or window.
SLOPES = frozenset({"saliency", "smooth_grad"})
PRODUCTS = frozenset({"input_x_gradient", "integrated_gradients", "deep_lift", "lrp", "expected_gradients"})
# Methods whose cost grows steeply with the number of features.
OF_FEW = frozenset({"anchors", "exact_shapley", "partition_shap", "shapley_interactions"})
SUMS = frozenset({"feature_ablation", "exact_shapley", "shapley_sampling", "kernel_shap", "occlusion"})
# Their channels have one weight for all places, so a layer in which places stand that the score skips shows those too.
SPREADS = frozenset(
    {"ablation_cam", "causal_cam", "contrast_cam", "counterfactual_cam", "eigen_cam", "finer_cam", "grad_cam",
     "grad_cam_pp", "score_cam", "x_grad_cam"}
)  # fmt: skip
# How far rounding leaves a value from zero or from the number by hand, as a share of the largest.
CLOSE = 1e-5


@dataclass(frozen=True)
class Refusal:
    """A refusal that is right: a part of its sentence, and the methods and models of which it is expected."""

    why: str
    sentence: str
    methods: frozenset[str]
    models: frozenset[str]


def _models(*names: str, but: Iterable[str] = ()) -> frozenset[str]:
    return frozenset(model for name in names for model in GROUPS.get(name, (name,))) - frozenset(but)


_MASKED = "attention under a mask"
_STEPS = "RNN, scores by step, time first"
REFUSALS = (
    Refusal(
        "whole numbers cannot be scaled",
        "holds whole numbers, such as tokens, which a mask cannot scale",
        frozenset({"score_cam"}),
        _models("tokens"),
    ),
    Refusal(
        "the places of the input end at a slice ahead of everything else",
        "has positions over the input: the positions of 'x', .* end at Slice",
        CAMS,
        _models("recurrent", "attention", but=[_STEPS, _MASKED]),
    ),
    Refusal(
        "a row has no places",
        "class activation maps need a picture, a series or tokens",
        CAMS,
        _models("rows"),
    ),
    Refusal(
        "guided backpropagation multiplies by the input, which tokens have not",
        "holds tokens, to which guided backpropagation does not apply",
        frozenset({"guided_grad_cam"}),
        _models("tokens"),
    ),
    Refusal(
        "no global average pooling ahead of a linear head",
        "A class activation map needs global average pooling and a linear head",
        frozenset({"cam"}),
        _models("tokens", _STEPS, _MASKED),
    ),
    Refusal(
        "it compares classes, and the scores have an axis of steps too",
        "not one axis of classes, and .* compares classes",
        frozenset({"causal_cam", "contrast_cam", "finer_cam"}),
        _models(_STEPS),
    ),
    Refusal(
        "no attention in the model",
        "has no attention a softmax between two products over tokens",
        frozenset({"attention_relevance", "attention_rollout"}),
        _models("pictures", "volumes", "series", "recurrent", "tokens", "rows"),
    ),
    Refusal(
        "the attention is between some of the tokens alone",
        "is taken within windows or groups, not between all tokens",
        frozenset({"attention_relevance", "attention_rollout"}),
        _models("attention", but=[_MASKED]),
    ),
    Refusal(
        "no trees in the model",
        "has no tree ensemble",
        frozenset({"tree_shap"}),
        _models("pictures", "volumes", "series", "recurrent", "attention", "tokens", "rows"),
    ),
    Refusal(
        "columns and the numbers of tokens have no neighbours to blur with",
        "BlurIG needs a picture, a series or a volume",
        frozenset({"blur_ig"}),
        _models("tokens", "rows"),
    ),
    Refusal(
        "columns and tokens have no neighbours over which a mask could be smooth",
        "(?:MeaningfulPerturbation|ExtremalMasks) needs a picture, a series or a volume",
        frozenset({"meaningful_perturbation", "extremal_masks"}),
        _models("tokens", "rows"),
    ),
    Refusal(
        "a masker finds the places of one picture for a class",
        "Masks are learned for models of one picture that return a score for each class",
        frozenset({"masker"}),
        _models("volumes", "series", "recurrent", "attention", "tokens", "rows"),
    ),
    Refusal(
        "no concepts in the model",
        "Nothing says which outputs of .* are the concepts and the relevances",
        frozenset({"senn"}),
        _models("pictures", "volumes", "series", "recurrent", "attention", "tokens", "rows"),
    ),
    Refusal(
        "the closed form of linear models is that of sums of the inputs' elements",
        "is not a linear function of the inputs: it adds",
        frozenset({"linear_shap"}),
        _models("pictures", "volumes", "series", "recurrent", "attention", "tokens"),
    ),
    Refusal(
        "terms of few features are needed",
        "is computed from more than 3 features at once",
        frozenset({"additive_shap"}),
        _models("pictures", "volumes", "series", "recurrent", "attention"),
    ),
    Refusal(
        "a term that also reads the mask, which is not removed, is no term of the tokens",
        "is computed from what is never removed",
        frozenset({"additive_shap"}),
        frozenset({"tokens and a mask"}),
    ),
    Refusal(
        "regions are those of pictures and volumes",
        "XRAI divides pictures and volumes into regions",
        frozenset({"xrai"}),
        _models("series", "recurrent", "attention", "tokens", "rows"),
    ),
    Refusal(
        "half of a token is not a token, unless each has a cell of its own",
        "a smooth mask needs floats, or whole numbers over space or time. Choose a grid as fine as the input",
        frozenset({"rise", "d_rise"}),
        _models("tokens", but=["tokens as float32"]),
    ),
    Refusal(
        "half of a token is not a token",
        "Sobol, which blends inputs with a baseline, needs floats, or whole numbers over space or time. Use a method",
        frozenset({"sobol"}),
        _models("tokens", but=["tokens as float32"]),
    ),
    Refusal(
        "half of a token is not a token",
        "holds the numbers of tokens, which cannot be mixed",
        frozenset({"rise", "d_rise", "sobol"}),
        _models("tokens as float32"),
    ),
    Refusal(
        "it multiplies gradients by the input, which tokens have not",
        "which ha(?:s|ve) no gradient",
        frozenset({"full_grad"}),
        _models("tokens"),
    ),
)


def refusal(method: str, name: str) -> Refusal | None:
    """The refusal that is expected of a method for a model: the first of the list."""
    return next((one for one in REFUSALS if method in one.methods and name in one.models), None)


@dataclass(frozen=True)
class Outcome:
    """What a method makes of a model.

    ``kind`` is ``number`` (the values are those by hand), ``zero`` (nothing is owed where nothing is read), ``largest``
    (the largest value is where the model reads, and the mean there is larger), ``spread`` (a map whose weights are
    means over all places also shows some that are not read), ``refused`` or ``wrong``; ``why`` is the refusal or the
    fault.
    """

    kind: str
    why: str = ""


def blocks(case: Case, halved: bool = True) -> Array:
    """A label map of parts of a sample of which none crosses the border between what is read and what is not.

    Along an axis on which all lines are alike, such as channels, there is one part.
    """
    sides = []
    for axis, length in enumerate(case.shape):
        lines = np.moveaxis(case.seen, axis, 0).reshape(length, -1)
        borders = np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1)) + 1
        size = int(np.gcd.reduce([length, *borders]))
        size = size // 2 if halved and len(borders) and size % 2 == 0 else size
        sides.append(np.arange(length) // size)
    counts = [int(side[-1]) + 1 for side in sides]
    return np.ravel_multi_index(np.meshgrid(*sides, indexing="ij"), counts)


def windows(case: Case) -> Array:
    """A label map of windows of two positions that tile a sample."""
    sides = []
    for axis, length in enumerate(case.shape):
        lines = np.moveaxis(case.seen, axis, 0).reshape(length, -1)
        sides.append(np.arange(length) // (length if bool((lines == lines[0]).all()) else 2))
    counts = [int(side[-1]) + 1 for side in sides]
    return np.ravel_multi_index(np.meshgrid(*sides, indexing="ij"), counts)


def settings(method: str, model: Model, case: Case) -> dict[str, Any]:
    """Small settings, and what a method needs beside an input."""
    known = parameters.declared(discovery.method(method))
    chosen = dict(SETTINGS)
    if method == "extremal_masks":
        # A mask that keeps the target shows a step that nothing reads rather than one that lowers it, and one larger
        # than what is read covers more; of six tokens, a coarse cell covers one and a half.
        chosen |= {
            "areas": min(0.4, float(case.seen.mean())),
            "variant": "delete",
            "steps": 40,
            "grid": 6 if case in (ZOO["attention"], ZOO[_MASKED]) else 4,
        }
    if "features" in known:
        chosen["features"] = blocks(case, halved=method not in OF_FEW)
    if method in OF_LAYERS:
        chosen["layer"] = case.layer
    by_background = method in ("dependence", "linear_shap", "additive_shap")
    if "donors" in known or by_background:
        # Rows of data have their samples first.
        if case.sample_axis is None:
            rows = np.stack([case.inputs(1, seed=seed) for seed in range(4)])
        else:
            rows = np.moveaxis(case.inputs(4, seed=9), case.sample_axis, 0)
        chosen["background" if by_background else "donors"] = rows
    if "neuron" in known:
        chosen["neuron"] = f"{case.layer}:{','.join(map(str, np.argwhere(case.layer_seen)[0]))}"
    if "masker" in known:
        chosen["masker"] = masker_of(model, case.feeds(64, seed=9)["x"], LEARNING)
    if "patterns" in known:
        several = case.feeds(4, seed=9)
        if case.sample_axis is None:
            several = {"x": np.stack([case.inputs(1, seed=seed) for seed in range(4)])}
        chosen["patterns"] = estimate_patterns(model, several)
    return {name: value for name, value in chosen.items() if name in known}


def target_of(method: str, case: Case) -> int:
    """The class that is explained: for a counterfactual the one against which the model reads."""
    return 1 if method == "counterfactual_cam" else int(np.ravel(case.target)[-1])


def explained(method: str, name: str, count: int = 1) -> Outcome:
    """Explain samples of a model, one if it takes no more, and hold the values against what it reads."""
    case = ZOO[name]
    count = 1 if case.is_single or method == "dependence" else count
    model, feeds, k = planted.load(case.proto), case.feeds(count), target_of(method, case)
    target = Target.index((*case.target[:-1], k)) if isinstance(case.target, tuple) else k
    x = feeds if len(feeds) > 1 else feeds["x"]
    try:
        found = xaionnx.explain(model, x, method, target, **settings(method, model, case))
    except XaionnxError as error:
        return Outcome("refused", str(error))
    own = own_scores(name, tiny.run(case.proto, feeds)["y"], k)
    if not np.allclose(found.prediction, own, rtol=1e-4, atol=1e-6):
        return Outcome("wrong", f"the prediction is {found.prediction} for {own}")
    rows = feeds["x"][None] if case.sample_axis is None else np.moveaxis(feeds["x"], case.sample_axis, 0)
    outcomes = [judged(method, case, rows[n], found.sample(n)) for n in range(count)]
    if method == "layer_activation" and all(one.kind != "wrong" for one in outcomes):
        return compared_with(case, feeds, found)
    return min(outcomes, key=lambda one: KINDS.index(one.kind))


def own_scores(name: str, scores: Array, k: int) -> Array:
    """The scores of class ``k`` of each sample, in the order of the file's axes."""
    if name == "scores before samples":
        return scores[k]
    if name == "RNN, scores by step, time first":
        return scores[2, :, k]
    return scores[k : k + 1] if scores.ndim == 1 else scores[:, k]


def compared_with(case: Case, feeds: Mapping[str, Array], found: Explanation) -> Outcome:
    """Hold the values of a layer against those of bare ONNX Runtime."""
    proto = type(case.proto).FromString(case.proto.SerializeToString())
    proto.graph.output.append(tiny.tensor(case.layer, None))
    held = tiny.run(proto, feeds)[case.layer]
    if held.shape != found.values.shape:
        held = held[None] if held.ndim < found.values.ndim else np.moveaxis(held, 1, 0)
    return Outcome("number") if np.allclose(held, found.values, rtol=1e-5) else Outcome("wrong", "another layer")


def by_hand(method: str, case: Case, x: Array) -> Array | None:
    """The values of a sample of a linear model; None for other models and methods."""
    if case.slope is None or method not in SLOPES | PRODUCTS | SUMS:
        return None
    if method in SLOPES:
        return case.slope
    product = case.slope * (embedded(case, x) if case.tokens else x)
    if method in PRODUCTS:
        return product
    each = product.sum(axis=-1) if case.tokens else product
    labels = windows(case) if method == "occlusion" else blocks(case, halved=method not in OF_FEW)
    return np.bincount(labels.ravel(), each.ravel())[labels]


def embedded(case: Case, x: Array) -> Array:
    """The rows of the table for the numbers of tokens, from plain ONNX Runtime."""
    proto = type(case.proto).FromString(case.proto.SerializeToString())
    proto.graph.output.append(tiny.tensor("held", None))
    more = {name: np.stack([one]) for name, (_, one) in case.further.items()}
    return tiny.run(proto, {"x": x[None], **more})["held"][0]


def judged(method: str, case: Case, x: Array, found: Explanation) -> Outcome:
    """Hold the values of one sample against what the model reads."""
    values = found.values["x"] if isinstance(found.values, dict) else found.values
    values = np.asarray(values[0], np.float64)
    expected = by_hand(method, case, x)
    seen = case.layer_seen if method in OF_LAYERS or (case.tokens and values.ndim > 1) else case.seen
    if values.shape != seen.shape or not np.isfinite(values).all():
        return Outcome("wrong", f"values of the shape {values.shape}, for {seen.shape}")
    if expected is not None:
        apart = np.abs(values - expected).max() / np.abs(expected).max()
        return Outcome("number") if apart < CLOSE else Outcome("wrong", f"{apart:.1e} from the number by hand")
    inside, outside = np.abs(values[seen]), np.abs(values[~seen])
    if method == "anchors" and not inside.any() and not outside.any():
        # The class stays, whatever is removed: a rule without conditions.
        return Outcome("zero")
    if not inside.any():
        return Outcome("wrong", "zero where the model reads")
    if not outside.any() or method == "layer_activation" or outside.max() < CLOSE * inside.max():
        return Outcome("zero")
    if inside.max() < outside.max() or inside.mean() <= outside.mean():
        if method in SPREADS and seen is case.seen and case.layer_skips:
            return Outcome("spread")
        return Outcome("wrong", f"{inside.max():.3g} where the model reads, {outside.max():.3g} where it does not")
    return Outcome("largest")


def result(method: str, name: str, count: int = 1) -> str:
    """The kind of an outcome; ``refused`` only if it is the expected refusal."""
    found, expected = explained(method, name, count), refusal(method, name)
    if found.kind != "refused":
        return found.kind if expected is None else f"not refused: {expected.why}"
    right = expected is not None and re.search(expected.sentence, found.why.replace("(", "").replace(")", ""))
    return "refused" if right else f"refused without need: {found.why}"


def kept_results() -> dict[str, dict[str, str]]:
    """The kept results by method and model."""
    kept: dict[str, dict[str, str]] = json.loads(RESULTS.read_text())
    return kept


def markdown() -> str:
    """The kept results as a table of methods and kinds of models, and the reasons of the refusals."""
    kept, reasons = kept_results(), list(dict.fromkeys(one.why for one in REFUSALS))
    head = [f"{group} ({len(names)})" for group, names in GROUPS.items()]
    lines = [f"| method | {' | '.join(head)} |", f"| --- |{' --- |' * len(head)}"]
    for method, row in sorted(kept.items()):
        cells = [_cell(method, {name: row[name] for name in names}, reasons) for names in GROUPS.values()]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {why[0].upper()}{why[1:]}." for number, why in enumerate(reasons, start=1))]
    return "\n".join(lines)


def _cell(method: str, row: Mapping[str, str], reasons: list[str]) -> str:
    """Such as ``number`` if all models of a group have it, or ``zero 2, refused 1`` with the number of the reason."""
    parts = []
    for kind in reversed(KINDS):
        names = [name for name, found in row.items() if found == kind]
        if not names:
            continue
        count = "" if len(names) == len(row) else f" {len(names)}"
        whys = sorted({reasons.index(found.why) + 1 for name in names if (found := refusal(method, name)) is not None})
        because = f" <sup>{', '.join(map(str, whys))}</sup>" if kind == "refused" else ""
        parts.append(f"{kind}{count}{because}")
    return ", ".join(parts)


def main() -> None:
    """Explain and keep."""
    parser = argparse.ArgumentParser(description="Explain each model of the zoo by each method.")
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    kept = kept_results() if RESULTS.exists() and given.methods else {}
    for method in given.methods or discovery.methods():
        kept[method] = {name: result(method, name, 2) for name in MODELS}
        print(
            method,
            {kind: [*kept[method].values()].count(kind) for kind in sorted({*kept[method].values()})},
            flush=True,
        )
    RESULTS.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
