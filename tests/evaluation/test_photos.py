"""Methods on labelled photographs: the kept scores, and that they are those of today."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.photos import CHEAP, PLACE, RESULTS, ROWS, SETTINGS, kept_table, photographs, scored
from xaionnx import Model

KEPT = json.loads(RESULTS.read_text())
SAME = ("guided_backprop", "deconvnet")
# As published, and far from it even with few photographs.
CHANGING = ("saliency", "grad_cam")


def test_kept_rows_are_known_and_complete():
    assert set(KEPT["scores"]) <= set(ROWS)
    for row, each in KEPT["scores"].items():
        assert set(each) == {name for name in SETTINGS if row in CHEAP or not name.startswith(("max", "param"))}
        assert all(len(values) == 20 for values in each.values())


def test_guided_maps_stay_similar_while_weights_are_randomised_and_others_do_not():
    """On every second photograph at least, by the same seeds; the means are far apart."""
    of = {row: np.array(KEPT["scores"][row]["parameter_randomisation"]) for row in (*SAME, *CHANGING)}
    for same in SAME:
        for changing in CHANGING:
            assert of[same].mean() > of[changing].mean() + 0.1
            assert (of[same] > of[changing]).mean() > 0.8


def test_most_methods_beat_random_order():
    table = kept_table()
    standings = [table.standings(metric) for metric in ("deletion", "insertion", "road")]
    beaten = {row for row in table.methods if not any(each[row].beats_control for each in standings)}
    # The slope is noise on photographs, and deconvnets draw edges; all others beat random order by some metric.
    assert beaten <= {"saliency", "guided_backprop", "deconvnet"}


@pytest.mark.slow
@pytest.mark.skipif(PLACE not in os.environ, reason=f"{PLACE} is not the path of foolbox-3.3.4-py3-none-any.whl")
@pytest.mark.parametrize("row", list(KEPT["scores"]))
def test_the_kept_scores_are_those_of_today(row):
    model = Model.load("models/efficientnet_lite0.onnx", batch_size=4)
    found = scored(row, model, *photographs(Path(os.environ[PLACE]), model), control=False)
    for metric, values in KEPT["scores"][row].items():
        known = np.array(values, dtype=float)
        np.testing.assert_allclose(found.scores[row][metric].values, known, rtol=0.02, atol=0.02)
