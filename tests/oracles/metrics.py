"""Slow versions of every metric, from the definitions of the papers, over a small net that numpy computes.

An oracle takes a case and the number of a sample, and returns its score. Everything is a loop in float64;
nothing of the library is used.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BASELINE = 0.25


@dataclass(frozen=True)
class Net:
    """f(x) = W2 tanh(W1 x + b1) + b2 of the elements of x in one line; without ``hidden`` f(x) = W1 x + b1."""

    w1: Array
    b1: Array
    w2: Array | None
    b2: Array | None

    def outputs(self, x: Array) -> Array:
        """The scores (K,) of one input."""
        inner = self.hidden(x)
        return inner if self.w2 is None or self.b2 is None else self.w2 @ inner + self.b2

    def hidden(self, x: Array) -> Array:
        """What the last layer reads."""
        sums = self.w1 @ x.reshape(-1) + self.b1
        return sums if self.w2 is None else np.tanh(sums)

    def gradient(self, x: Array, k: int) -> Array:
        """The slope of score k."""
        if self.w2 is None:
            return self.w1[k].reshape(x.shape)
        return ((self.w2[k] * (1 - self.hidden(x) ** 2)) @ self.w1).reshape(x.shape)

    def shuffled(self, layers: int, seed: int) -> Net:
        """The net with the numbers of the last layers in a random order, which depends on the seed and the name."""

        def order(array: Array, name: str) -> Array:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            return array.reshape(-1)[rng.permutation(array.size)].reshape(array.shape)

        names = (["w2", "b2"], ["w1", "b1"]) if self.w2 is not None else (["w1", "b1"],)
        chosen = [name for each in names[:layers] for name in each]
        return dataclasses.replace(self, **{name: order(getattr(self, name), name) for name in chosen})


@dataclass(frozen=True)
class Case:
    """Samples of a net, their classes, the values of an explanation, and settings of the metric.

    A picture is (C, H, W), and its pixels are removed in all channels; of a row each column is.
    """

    net: Net
    x: Array
    classes: list[int]
    values: Array
    settings: dict[str, Any]
    explain: Callable[[Net, Array, int], Array]
    masks: Array | None = None
    control: Net | None = None

    def score(self, x: Array, n: int) -> float:
        """The target, or the probability of its class if the settings say so."""
        found = self.net.outputs(x)
        if self.settings.get("quantity") == "probability":
            found = np.exp(found - found.max()) / np.exp(found - found.max()).sum()
        return float(found[self.classes[n]])

    def places(self, n: int, values: Array | None = None) -> Array:
        """The sum over channels."""
        own = self.values[n] if values is None else values
        return own.sum(axis=0) if own.ndim == 3 else own

    def groups(self, n: int) -> list[Array]:
        """The features as masks of the input: those of the settings, or pixels or columns."""
        shape = self.x[n].shape
        given = self.settings.get("features")
        labels = np.arange(np.prod(shape[-2:])).reshape(shape[-2:]) if given is None else np.asarray(given)
        return [np.broadcast_to(labels == label, shape) for label in range(int(labels.max()) + 1)]

    def removed(self, n: int, some: Any) -> float:
        """The target with some features replaced by the baseline."""
        x = self.x[n].copy()
        for number in some:
            x[self.groups(n)[number]] = self.settings.get("baseline", BASELINE)
        return self.score(x, n)

    def means(self, n: int) -> list[float]:
        """The mean value of each feature."""
        return [float(self.values[n][group].mean()) for group in self.groups(n)]

    def sums(self, n: int) -> list[float]:
        """The sum of the values of each feature."""
        return [float(self.values[n][group].sum()) for group in self.groups(n)]

    def drop(self, n: int, some: Any) -> float:
        """How much the target falls when features are removed."""
        return self.score(self.x[n], n) - self.removed(n, some)

    def falling(self, n: int) -> list[int]:
        """The features, the highest mean value first."""
        means = self.means(n)
        return sorted(range(len(means)), key=lambda i: (-means[i], i))

    def curve(self, n: int) -> list[float]:
        """The target with the first 0, 1, .. P features removed."""
        order = self.falling(n)
        return [self.removed(n, order[:k]) for k in range(len(order) + 1)]


def trapezoids(curve: list[float]) -> float:
    """The area under a curve over [0, 1]."""
    return sum((a + b) / 2 for a, b in itertools.pairwise(curve)) / (len(curve) - 1)


def pearson(a: Any, b: Any) -> float:
    """The correlation."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def ranks(values: Any) -> list[float]:
    """The ranks; equal values have the mean of theirs."""
    values = list(np.asarray(values).reshape(-1))
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def spearman(a: Any, b: Any) -> float:
    """The correlation of ranks."""
    return pearson(ranks(a), ranks(b))


def alike(case: Case, n: int, one: Array, other: Array) -> float:
    """The correlation of the ranks of the sizes at places."""
    return spearman(np.abs(case.places(n, one)).round(9), np.abs(case.places(n, other)).round(9))


# Faithfulness


def deletion(case: Case, n: int) -> float:
    return trapezoids(case.curve(n))


def insertion(case: Case, n: int) -> float:
    order = case.falling(n)
    return trapezoids([case.removed(n, order[k:]) for k in range(len(order) + 1)])


def region_perturbation(case: Case, n: int) -> float:
    curve = case.curve(n)
    return sum(curve[0] - value for value in curve) / len(curve)


def irof(case: Case, n: int) -> float:
    curve = case.curve(n)
    return 1 - trapezoids([value / curve[0] for value in curve])


def monotonicity(case: Case, n: int) -> float:
    order = case.falling(n)[::-1]
    everything = set(order)
    entering = [case.removed(n, everything - set(order[:k])) for k in range(len(order) + 1)]
    return float(np.mean([b >= a - 1e-6 * max(map(abs, entering)) for a, b in itertools.pairwise(entering)]))


def _subsets(case: Case, n: int, size: int) -> list[tuple[int, ...]]:
    return list(itertools.combinations(range(len(case.groups(n))), size))


def _over_subsets(case: Case, n: int, size: int, correlation: Callable[[Any, Any], float]) -> float:
    sums, some = case.sums(n), _subsets(case, n, size)
    return correlation([sum(sums[i] for i in each) for each in some], [case.drop(n, each) for each in some])


def faithfulness_correlation(case: Case, n: int) -> float:
    return _over_subsets(case, n, case.settings["size"], pearson)


def faithfulness_estimate(case: Case, n: int) -> float:
    return _over_subsets(case, n, 1, pearson)


def sensitivity_n(case: Case, n: int) -> float:
    return _over_subsets(case, n, case.settings["n"], pearson)


def mu_fidelity(case: Case, n: int) -> float:
    def by_ranks(a: Any, b: Any) -> float:
        return spearman(np.round(a, 9), np.round(b, 9))

    return _over_subsets(case, n, round(case.settings["share"] * len(case.groups(n))), by_ranks)


def monotonicity_correlation(case: Case, n: int) -> float:
    each = range(len(case.groups(n)))
    return spearman(np.abs(case.sums(n)), [case.drop(n, [i]) ** 2 for i in each])


def infidelity(case: Case, n: int) -> float:
    sums, count = case.sums(n), len(case.groups(n))
    some = [[i for i in range(count) if number >> i & 1] for number in range(1, 2**count)]
    found = [(sum(sums[i] for i in each), case.drop(n, each)) for each in some]
    scale = sum(s * d for s, d in found) / sum(s * s for s, _ in found)
    return sum((scale * s - d) ** 2 for s, d in found) / len(found)


def gaussian_infidelity(case: Case, n: int) -> float:
    x, k, found = case.x[n], case.classes[n], []
    ranges = np.maximum(np.abs(x), 1) if x.ndim == 1 else x.max() - x.min()
    for draw in range(case.settings["draws"]):
        step = case.settings["noise"] * ranges * np.random.default_rng([0, draw, 0]).standard_normal(x.shape)
        noisy = (x - step).astype(np.float32).astype(float)
        change = case.net.outputs(x)[k] - case.net.outputs(noisy)[k]
        found.append((((x - noisy) * case.values[n]).sum(), change))
    scale = sum(s * d for s, d in found) / sum(s * s for s, _ in found)
    return sum((scale * s - d) ** 2 for s, d in found) / len(found)


def sufficiency(case: Case, n: int) -> float:
    same = []
    for m, other in enumerate(case.values):
        lengths = np.linalg.norm(case.values[n]) * np.linalg.norm(other)
        if m != n and (case.values[n] * other).sum() / lengths >= 1 - case.settings["distance"]:
            same.append(case.classes[m] == case.classes[n])
    return float(np.mean(same)) if same else math.nan


def _unit(case: Case, values: Array) -> Array:
    mean = values.mean(axis=0) if values.ndim == 3 else values
    return (mean - mean.min()) / (mean.max() - mean.min())


def _before_and_after(case: Case, n: int) -> tuple[float, float]:
    return case.score(case.x[n], n), case.score(case.x[n] * _unit(case, case.values[n]), n)


def average_drop(case: Case, n: int) -> float:
    before, after = _before_and_after(case, n)
    return max(0.0, before - after) / before


def average_increase(case: Case, n: int) -> float:
    before, after = _before_and_after(case, n)
    return float(after > before)


def average_gain(case: Case, n: int) -> float:
    before, after = _before_and_after(case, n)
    return max(0.0, after - before) / (1 - before)


def road(case: Case, n: int) -> float:
    shape, channels = case.x[n].shape[1:], len(case.x[n])
    places = list(itertools.product(range(shape[0]), range(shape[1])))
    values = case.places(n)
    order, found = sorted(places, key=lambda p: -values[p]), []
    for share in np.linspace(0.1, 0.9, case.settings["steps"]):
        count = round(share * len(places))
        least, most = (
            case.score(_imputed(case.x[n], some, channels), n) for some in (order[len(order) - count :], order[:count])
        )
        found.append((least - most) / 2)
    return float(np.mean(found))


def _imputed(x: Array, missing: list[tuple[int, int]], channels: int) -> Array:
    """One equation for each missing pixel: it is the weighted mean of its neighbours inside the picture."""
    left, right = np.zeros((len(missing),) * 2), np.zeros((len(missing), channels))
    for row, (i, j) in enumerate(missing):
        around = [(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
        around = [(a, b) for a, b in around if 0 <= a < x.shape[1] and 0 <= b < x.shape[2]]
        weights = [1 / 6 if a == i or b == j else 1 / 12 for a, b in around]
        left[row, row] = 1
        for place, weight in zip(around, weights, strict=True):
            if place in missing:
                left[row, missing.index(place)] -= weight / sum(weights)
            else:
                right[row] += weight / sum(weights) * x[:, place[0], place[1]]
    filled, found = x.copy(), np.linalg.solve(left, right)
    for row, (i, j) in enumerate(missing):
        filled[:, i, j] = found[row]
    return filled


# Robustness


def _neighbours(case: Case, n: int) -> list[Array]:
    x, found = case.x[n], []
    ranges = np.maximum(np.abs(x), 1) if x.ndim == 1 else x.max() - x.min()
    for draw in range(case.settings["draws"]):
        unit = np.random.default_rng([0, draw, 0]).uniform(-1, 1, x.shape)
        found.append(
            (x + (case.settings["radius"] * ranges * unit).astype(np.float32)).astype(np.float32).astype(float)
        )
    return found


def _moved(case: Case, n: int) -> list[tuple[Array, Array]]:
    return [(near, case.explain(case.net, near, case.classes[n]) - case.values[n]) for near in _neighbours(case, n)]


def max_sensitivity(case: Case, n: int) -> float:
    return max(float(np.linalg.norm(moved)) for _, moved in _moved(case, n)) / float(np.linalg.norm(case.values[n]))


def average_sensitivity(case: Case, n: int) -> float:
    return float(np.mean([np.linalg.norm(moved) for _, moved in _moved(case, n)]) / np.linalg.norm(case.values[n]))


def local_lipschitz(case: Case, n: int) -> float:
    return max(float(np.linalg.norm(moved) / np.linalg.norm(near - case.x[n])) for near, moved in _moved(case, n))


def _by_relative(case: Case, n: int, below: Callable[[Array, Array], Array]) -> float:
    found, here = [], case.x[n]
    for near, moved in _moved(case, n):
        if case.net.outputs(near).argmax() == case.net.outputs(here).argmax():
            found.append(
                float(np.linalg.norm(moved / _least(case.values[n])) / max(np.linalg.norm(below(near, here)), 1e-3))
            )
    return max(found)


def _least(values: Array) -> Array:
    least = 1e-6 * max(np.abs(values).max(), 1e-300)
    return np.where(np.abs(values) < least, np.where(values < 0, -least, least), values)


def relative_input_stability(case: Case, n: int) -> float:
    return _by_relative(case, n, lambda near, here: (near - here) / here)


def relative_output_stability(case: Case, n: int) -> float:
    return _by_relative(case, n, lambda near, here: case.net.outputs(near) - case.net.outputs(here))


def relative_representation_stability(case: Case, n: int) -> float:
    return _by_relative(case, n, lambda a, b: (case.net.hidden(a) - case.net.hidden(b)) / case.net.hidden(b))


# Randomisation and agreement


def parameter_randomisation(case: Case, n: int) -> float:
    found = []
    for layers in range(1, 2 if case.net.w2 is None else 3):
        other = case.explain(case.net.shuffled(layers, 0), case.x[n], case.classes[n])
        found.append(alike(case, n, case.values[n], other))
    return float(np.mean(found))


def efficient_parameter_randomisation(case: Case, n: int) -> float:
    random = case.explain(case.net.shuffled(2, 0), case.x[n], case.classes[n])
    before, after = (_histogram_entropy(case.places(n, one), case.settings["bins"]) for one in (case.values[n], random))
    return (after - before) / before


def _histogram_entropy(values: Array, bins: int) -> float:
    low, high, counts = values.min(), values.max(), [0] * bins
    for value in values.reshape(-1):
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return -sum(c / values.size * math.log(c / values.size) for c in counts if c)


def label_randomisation(case: Case, n: int) -> float:
    assert case.control is not None
    return alike(case, n, case.values[n], case.explain(case.control, case.x[n], case.classes[n]))


def random_logit(case: Case, n: int) -> float:
    outputs = case.net.outputs(case.x[n])
    other = max((k for k in range(len(outputs)) if k != case.classes[n]), key=lambda k: outputs[k])
    return alike(case, n, case.values[n], case.explain(case.net, case.x[n], other))


def similarity(case: Case, n: int) -> float:
    return alike(case, n, case.values[n], case.net.gradient(case.x[n], case.classes[n]))


# Localisation


def _inside(case: Case, n: int) -> tuple[list[float], list[bool]]:
    assert case.masks is not None
    return list(case.places(n).reshape(-1)), list(case.masks[n].reshape(-1))


def pointing_game(case: Case, n: int) -> float:
    values, inside = _inside(case, n)
    highest = [true for value, true in zip(values, inside, strict=True) if value == max(values)]
    return sum(highest) / len(highest)


def positive_share(case: Case, n: int) -> float:
    pairs = list(zip(*_inside(case, n), strict=True))
    total = sum(max(v, 0) for v, _ in pairs)
    return sum(max(v, 0) for v, true in pairs if true) / total if total else math.nan


def highest_inside(case: Case, n: int) -> float:
    values, inside = _inside(case, n)
    count = case.settings.get("k", sum(inside))

    def share(value: float) -> float:
        """The share of orders of equal values in which one of them is among the highest."""
        left = count - sum(other > value for other in values)
        return min(1.0, max(0.0, left / values.count(value)))

    return sum(share(value) for value, true in zip(values, inside, strict=True) if true) / count


def localisation_auc(case: Case, n: int) -> float:
    pairs = list(zip(*_inside(case, n), strict=True))
    true, false = ([v for v, inside in pairs if inside == kind] for kind in (True, False))
    return sum((a > b) + (a == b) / 2 for a in true for b in false) / (len(true) * len(false))


# Complexity and axioms


def sparseness(case: Case, n: int) -> float:
    """The Gini coefficient: half the mean absolute difference of two values, over their mean."""
    sizes = np.abs(case.places(n)).reshape(-1)
    return float(np.mean([abs(a - b) for a in sizes for b in sizes]) / (2 * sizes.mean()))


def entropy(case: Case, n: int) -> float:
    sizes = np.abs(case.places(n)).reshape(-1)
    return -sum(s / sizes.sum() * math.log(s / sizes.sum()) for s in sizes if s > 0)


def effective_complexity(case: Case, n: int) -> float:
    order, full = case.falling(n), case.score(case.x[n], n)
    for k in range(len(order) + 1):
        if (full - case.removed(n, order[k:])) ** 2 <= case.settings["tolerance"] * full**2:
            return float(k)
    raise AssertionError("all features keep the target")


def adcc(case: Case, n: int) -> float:
    own = _unit(case, case.values[n])
    masked = (case.x[n].astype(np.float32) * own.astype(np.float32)).astype(float)
    other = _unit(case, case.explain(case.net, masked, case.classes[n]))
    before, after = _before_and_after(case, n)
    parts = (1 + pearson(own.reshape(-1), other.reshape(-1))) / 2, 1 - own.mean(), 1 - max(0.0, before - after) / before
    return float(3 / sum(1 / part for part in parts))


def completeness(case: Case, n: int) -> float:
    return abs(float(case.values[n].sum()) - case.drop(n, range(len(case.groups(n)))))


def non_sensitivity(case: Case, n: int) -> float:
    sums = case.sums(n)
    ignored = [abs(case.drop(n, [i])) < 1e-6 for i in range(len(sums))]
    return float(sum((abs(v) < 1e-9) != no_effect for v, no_effect in zip(sums, ignored, strict=True)))


def input_invariance(case: Case, n: int) -> float:
    """The slope of f(x - s) at x + s is that of f at x, and is multiplied by x + s."""
    x = case.x[n]
    step, least = 2.0**-20, np.max(np.maximum(np.abs(x), 1)) if x.ndim == 1 else x.max() - x.min()
    while step < least:
        step *= 2
    other = (x + step) * case.net.gradient(x, case.classes[n])
    return float(np.linalg.norm(other - case.values[n]) / np.linalg.norm(case.values[n]))


ORACLES: dict[str, Callable[[Case, int], float]] = {
    "adcc": adcc,
    "attribution_localisation": positive_share,
    "average_drop": average_drop,
    "average_gain": average_gain,
    "average_increase": average_increase,
    "average_sensitivity": average_sensitivity,
    "completeness": completeness,
    "deletion": deletion,
    "effective_complexity": effective_complexity,
    "efficient_parameter_randomisation": efficient_parameter_randomisation,
    "entropy": entropy,
    "faithfulness_correlation": faithfulness_correlation,
    "faithfulness_estimate": faithfulness_estimate,
    "focus": positive_share,
    "gaussian_infidelity": gaussian_infidelity,
    "infidelity": infidelity,
    "input_invariance": input_invariance,
    "insertion": insertion,
    "irof": irof,
    "label_randomisation": label_randomisation,
    "local_lipschitz": local_lipschitz,
    "localisation_auc": localisation_auc,
    "max_sensitivity": max_sensitivity,
    "monotonicity": monotonicity,
    "monotonicity_correlation": monotonicity_correlation,
    "mu_fidelity": mu_fidelity,
    "non_sensitivity": non_sensitivity,
    "parameter_randomisation": parameter_randomisation,
    "pixel_flipping": deletion,
    "pointing_game": pointing_game,
    "random_logit": random_logit,
    "region_perturbation": region_perturbation,
    "relative_input_stability": relative_input_stability,
    "relative_output_stability": relative_output_stability,
    "relative_representation_stability": relative_representation_stability,
    "relevance_mass_accuracy": positive_share,
    "relevance_rank_accuracy": highest_inside,
    "road": road,
    "selectivity": deletion,
    "sensitivity_n": sensitivity_n,
    "similarity": similarity,
    "smooth_parameter_randomisation": parameter_randomisation,
    "sparseness": sparseness,
    "sufficiency": sufficiency,
    "top_k_intersection": highest_inside,
}
