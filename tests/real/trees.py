"""Try tree_shap in all of its modes on tree models that packages of others ship.

python -m tests.real.trees CACHE    fetch, compare, and print the table of docs/tables/real_trees.md

Columns are divided into seven groups at random, so that all coalitions can be evaluated through the session; the values
that follow covers are compared with a walk through the trees for each coalition. Rows are drawn from the thresholds of
each column, some of them shifted a little.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

import xaionnx
from tests.oracles.trees import coalition_worths, interactions, shapley
from tests.real.fetch import fetch
from xaionnx import Model
from xaionnx.explainers._trees.source import tree_source
from xaionnx.graph.tree_ensembles import MEMBER, TreeEnsemble, tree_ensembles
from xaionnx.typing import Array

GROUPS: Final = 7
_ATSPM: Final = "atspm-detector==1.1.0"


@dataclass(frozen=True)
class TreeFile:
    """A file of a package, as :func:`tests.real.fetch.fetch` reads it; ``path`` is its name in the cache."""

    name: str
    package: str
    file: str
    sha256: str
    licence: str

    @property
    def path(self) -> str:
        return self.name.replace(" ", "_") + ".onnx"


FILES: Final = (
    TreeFile(
        "decoder of signals",
        _ATSPM,
        "atspm_detector/weights/decode_v3.onnx",
        "26eff1a46d782b0a9a8a6ba2c887f5625bf1c3b6ccc064fbf30f5016e84bd4d3",
        "MIT",
    ),
    TreeFile(
        "setback, quantile 0.9",
        _ATSPM,
        "atspm_detector/weights/setback/setback_q90_s0.onnx",
        "d26d5d160cf1c238e14175ae4827e7f5b378286c8bdc0382b05cf76d209e5e56",
        "MIT",
    ),
    TreeFile(
        "traffic stacker",
        _ATSPM,
        "atspm_detector/weights/stacker/stacker_mean3_s0.onnx",
        "0ec72a49401757a9bdc5b8963f5d0d7977f321808cbf7df9166a029eda280e23",
        "MIT",
    ),
    TreeFile(
        "phases",
        _ATSPM,
        "atspm_detector/weights/phase_lgbm_v5_s0.onnx",
        "54c0294ede07c385f2c3a76f45f17825a4e68f30ce4d281297c0e4db25700ab1",
        "MIT",
    ),
    TreeFile(
        "functions of detectors",
        _ATSPM,
        "atspm_detector/weights/function/function229_s0.onnx",
        "50864dedeb8c61f80ccbad3af4a56de4f86836a6a4dcf8aa96d90d7bce624420",
        "MIT",
    ),
    TreeFile(
        "pairs of lanes",
        _ATSPM,
        "atspm_detector/weights/lanes/lane_pair_D_s0.onnx",
        "4033b04de346aa8e278cdcdc6155eec9092a41f3f15be4f2284645db552c95b7",
        "MIT",
    ),
    TreeFile(
        "haemolysis",
        "macrel==1.6.1",
        "macrel/data/models/Hemo.onnx.gz",
        "172d8ca1b45eeadcfdac9631d6915368bd962177e19d2991e0bdab9fbaea8724",
        "MIT",
    ),
    TreeFile(
        "antimicrobial peptides",
        "macrel==1.6.1",
        "macrel/data/models/AMP.onnx.gz",
        "90d7fea888758a5c1426949cb21a33ed132bfde2216d85324ab6ebc939d59cb4",
        "MIT",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.real.trees")
    parser.add_argument("cache", type=Path)
    cache = parser.parse_args().cache
    fetch(list(FILES), cache)  # type: ignore[arg-type]  # which reads no more of an entry than these have
    print(
        "| model | trees | nodes | columns | numbers | interventional | interactions | by covers | all columns add up |"
    )
    print("| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for each in FILES:
        print(row(each, cache / each.path), flush=True)


def row(given: TreeFile, path: Path) -> str:
    """Compare one file, and return its row of the table: the largest differences, over the largest value."""
    model = Model.load(path)
    [(_, trees)] = tree_ensembles(model.view)
    rng = np.random.default_rng(0)
    [info] = model.inputs
    width = info.shape[1] if isinstance(info.shape[1], int) else int(trees.feature.max()) + 1
    x, others = (drawn(rng, trees, width, count).astype(info.dtype) for count in (2, 8))
    group = rng.integers(GROUPS, size=width)
    group[:GROUPS] = np.arange(GROUPS)
    settings = {"background": others, "features": group.tolist()}
    scores = model.outputs[-1].name

    def outputs(present: Array) -> Array:
        """Of the mixtures of the first row with the others that coalitions (N, 7) of groups make, by turns."""
        mixed = np.where(present[:, group] == 1, x[0], np.tile(others, (len(present) // len(others), 1)))
        found: Array = model.run({info.name: mixed}, [scores])[scores].astype(np.float64)
        return found.reshape(len(mixed), -1)

    worths = coalition_worths(outputs, np.ones(GROUPS), np.zeros((len(others), GROUPS)))
    targets = [*range(worths.shape[1])]
    found = xaionnx.explain(model, x[:1], "tree_shap", targets, interactions=True, **settings)
    assert found.provenance["explained"] == "identity"
    scale = np.abs(found.feature_values).max()
    own = np.abs(found.feature_values[:, 0] - shapley(worths).T).max() / scale
    pairs = found.maps["interactions"][:, 0]
    off = ~np.eye(GROUPS, dtype=bool)
    of_pairs = np.abs(pairs - np.moveaxis(interactions(worths), 2, 0) / 2)[:, off].max() / scale
    followed = xaionnx.explain(model, x[:1], "tree_shap", targets, perturbation="path_dependent", **settings)
    # Of two classes the file has numbers of one.
    of_scores = tree_source(model, scores, {}).scores.margins()[0]
    expected = by_covers(trees, x[0], others, group) @ of_scores
    by_paths = np.abs(followed.feature_values[:, 0] - expected.T).max() / np.abs(expected).max()
    whole = xaionnx.explain(model, x, "tree_shap", background=others)
    gap = np.abs(whole.diagnostics["completeness_gap"]).max() / np.abs(whole.feature_values).max()
    numbers = f"{info.dtype}" + (", gaps" if trees.missing_true.any() else "")
    return (
        f"| {given.name} | {len(trees.roots):,} | {len(trees.true):,} | {width} | {numbers} | {own:.0e} | "
        f"{of_pairs:.0e} | {by_paths:.0e} | {gap:.0e} |"
    )


def drawn(rng: np.random.Generator, trees: TreeEnsemble, width: int, count: int) -> Array:
    """Rows of thresholds of each column, a third of them shifted either way."""
    rows = np.zeros((count, width))
    for column in np.unique(trees.feature[trees.feature >= 0]):
        known = trees.threshold[trees.feature == column]
        step = np.abs(known[np.isfinite(known)]).mean() * 1e-3 if np.isfinite(known).any() else 0.0
        rows[:, column] = rng.choice(known, count) + rng.choice([-1, 0, 1], count) * step
    return rows


def by_covers(trees: TreeEnsemble, x: Array, others: Array, group: Array) -> Array:
    """Shapley values (7, K) of the expectation that follows the shares of other rows, by a walk for each coalition."""

    def goes(node: int, row: Array) -> bool:
        value, threshold, mode = row[trees.feature[node]], trees.threshold[node], trees.mode[node]
        if np.isnan(value):
            return bool(trees.missing_true[node])
        if mode == MEMBER:
            return bool(np.isin(value, trees.members[trees.member_start[node] : trees.member_start[node + 1]]))
        return bool((value <= threshold, value < threshold, value >= threshold, value > threshold,
                     value == threshold, value != threshold)[mode])  # fmt: skip

    covers = np.zeros(len(trees.true))
    for row, root in itertools.product(others, trees.roots):
        node = root
        covers[node] += 1
        while trees.true[node] >= 0:
            node = trees.true[node] if goes(node, row) else trees.false[node]
            covers[node] += 1
    weights = np.zeros((len(trees.true), trees.targets))
    np.add.at(weights, (trees.weight_node, trees.weight_target), trees.weight)
    weights /= len(trees.roots) if trees.aggregate == "AVERAGE" else 1

    def worth(present: frozenset[int]) -> Array:
        total, waiting = np.zeros(trees.targets), [(int(root), 1.0) for root in trees.roots]
        while waiting:
            node, share = waiting.pop()
            true, false = int(trees.true[node]), int(trees.false[node])
            if true < 0:
                total += share * weights[node]
            elif int(group[trees.feature[node]]) in present:
                waiting.append((true if goes(node, x) else false, share))
            else:
                part = covers[true] / covers[node] if covers[node] else 0.5
                waiting += [(child, share * p) for child, p in ((true, part), (false, 1 - part)) if p]
        return total

    coalitions = [frozenset(c) for size in range(GROUPS + 1) for c in itertools.combinations(range(GROUPS), size)]
    worths = {coalition: worth(coalition) for coalition in coalitions}
    values = np.zeros((GROUPS, trees.targets))
    for coalition, player in itertools.product(coalitions, range(GROUPS)):
        if player not in coalition:
            weight = 1 / (GROUPS * math.comb(GROUPS - 1, len(coalition)))
            values[player] += weight * (worths[coalition | {player}] - worths[coalition])
    return values


if __name__ == "__main__":
    main()
