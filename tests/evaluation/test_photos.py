"""Methods on labelled photographs: the kept scores, and that they are those of today."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.photos import AGAIN, COSTLY, FEWER, ONCE, PLACE, RESULTS, ROWS, kept_table, photographs, scored
from xaionnx import Model

KEPT = json.loads(RESULTS.read_text())
SAME = ("guided_backprop", "deconvnet")
# As published, and far from it even with few photographs.
CHANGING = ("saliency", "grad_cam")
# Hundreds of steps take what processors round differently to other masks, of about the same mean score.
SEARCHES = ("extremal_masks", "meaningful_perturbation")


def test_every_row_is_kept_and_cheap_ones_are_explained_again():
    assert set(KEPT["scores"]) == set(ROWS)
    for row, each in KEPT["scores"].items():
        again = {name: len(values) for name, values in each.items() if name in AGAIN}
        assert [len(each[name]) for name in ONCE] == [20] * len(ONCE)
        assert again == dict.fromkeys(AGAIN, FEWER if row in COSTLY else 20)


def test_guided_maps_stay_similar_while_weights_are_randomised_and_others_do_not():
    """On every second photograph at least, by the same seeds; the means are far apart."""
    of = {row: np.array(KEPT["scores"][row]["parameter_randomisation"]) for row in (*SAME, *CHANGING)}
    for same in SAME:
        for changing in CHANGING:
            assert of[same].mean() > of[changing].mean() + 0.1
            assert (of[same] > of[changing]).mean() > 0.8


def test_most_methods_beat_random_order():
    table = kept_table()
    standings = [table.standings(metric) for metric in ONCE]
    none = {row for row in table.methods if not any(each[row].beats_control for each in standings)}
    # The slope is noise on photographs, counterfactual maps show what speaks against the class, indices of Sobol say
    # how much a coarse cell matters, for or against it, and the search of meaningful_perturbation is cut to 20 of its
    # 100 steps. All others beat random order by some metric.
    assert none <= {"saliency", "counterfactual_cam", "sobol", "meaningful_perturbation"}


@pytest.mark.slow
@pytest.mark.skipif(PLACE not in os.environ, reason=f"{PLACE} is not the path of foolbox-3.3.4-py3-none-any.whl")
@pytest.mark.parametrize("row", list(KEPT["scores"]))
def test_the_kept_scores_are_those_of_today(row):
    model = Model.load("models/efficientnet_lite0.onnx", batch_size=4)
    x, classes = photographs(Path(os.environ[PLACE]), model)
    for metrics in ([name for name in some if name in KEPT["scores"][row]] for some in (ONCE, AGAIN)):
        found = scored(row, model, x, classes, metrics).scores[row] if metrics else {}
        for metric in metrics:
            known = np.array(KEPT["scores"][row][metric], dtype=float)
            values = found[metric].values
            if row in SEARCHES:
                values, known = values.mean(), known.mean()
            np.testing.assert_allclose(values, known, rtol=0.02, atol=0.02)
