"""Scores and recommendations for files that others made, if the cache of the catalogue is there.

The variable XAIONNX_REAL names it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.real.catalogue import catalogue
from tests.real.feeds import feeds_of
from xaionnx import Model, Target
from xaionnx.evaluation import recommend, score_table

CACHE = os.environ.get("XAIONNX_REAL")
ENTRIES = {entry.name: entry for entry in catalogue()}
# A forest whose probabilities are a ZipMap, a net for regression, and a face detector with two outputs, channels last.
CASES = {
    "Macrel haemolysis, forest": (None, ("occlusion", "tree_shap", "lime", "saliency")),
    "surface surrogate, MLP": (None, ("occlusion", "input_x_gradient", "deep_lift", "layer_activation")),
    "MTCNN P-net": (
        Target.index((1, 2, 1), output="softmax"),
        ("occlusion", "input_x_gradient", "grad_cam", "tree_shap"),
    ),
}
METRICS = ("deletion", "infidelity", "max_sensitivity", "parameter_randomisation", "input_invariance", "sparseness")


@pytest.mark.slow
@pytest.mark.skipif(CACHE is None, reason="XAIONNX_REAL is not set")
@pytest.mark.parametrize("name", CASES)
def test_methods_are_scored_or_refused_in_a_sentence(name):
    entry, (target, methods) = ENTRIES[name], CASES[name]
    model, rng = Model.load(Path(str(CACHE)) / entry.path), np.random.default_rng(0)
    feeds = {}
    for key, array in feeds_of(entry).items():
        moved = array * (1 + 0.2 * rng.standard_normal((3, *array.shape[1:])))
        feeds[key] = np.concatenate([array, moved]).astype(array.dtype)
    found = score_table(model, feeds, methods, METRICS, target)
    assert set(found.methods) | set(found.refused) >= set(methods)
    assert len(found.methods) >= 2
    for each in found.scores.values():
        for one in each.values():
            assert set(one.reasons) == set(np.flatnonzero(np.isnan(one.values)).tolist())
    assert all(len(why) > 20 and why.endswith((".", "pyarrow")) for why in found.refused.values())
    answer = recommend(model, feeds, methods=found.methods, target=target, budget_s=60)
    assert set(answer.ranking) <= set(found.methods)
    assert str(answer)
