"""The bench runs, and its table shows what was measured. Nothing is timed here."""

import math

import numpy as np

import xaionnx
from models import planted
from tests.bench import games, table
from tests.bench.ratio import Bare, measure


def test_the_limit_counts_the_evaluations_of_the_explanation():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    x = np.ones((1, 3), np.float32)
    bare = Bare(model.path, np.zeros((2, 3), np.float32), "y", sizes=(1, 4))
    found = measure(lambda: xaionnx.explain(model, x, "feature_ablation"), bare, rounds=2)
    assert found.evaluations == 4
    assert found.batch in (1, 4)
    assert len(found.rounds) == len(found.cpu) == 2
    assert found.median > 0
    assert found.limit_s > 0


def test_the_exact_values_of_a_game_are_those_of_the_definition():
    # v = x0 + 2 x0 x1: the product is shared.
    values = np.array([0.0, 1.0, 0.0, 3.0])
    np.testing.assert_allclose(games.shapley(values, 2), [2.0, 1.0])


def test_naive_permutations_end_at_the_exact_values():
    values = np.array([0.0, 1.0, 0.0, 3.0])
    game = games.Known("product", None, None, None, None, 0, values, games.shapley(values, 2))
    found = games.permutations(game, 20_001, 0)
    assert found.sum() == 3
    # Of 10,000 orders, half give player 0 the value 1 and half 3.
    assert abs(found[0] - 2) < 4 / math.sqrt(10_000)
    assert games.evaluations_needed(game, games.permutations, 2) < 5000


def test_the_table_shows_the_median_and_the_range():
    ratio = {
        "kind": "ratio", "name": "occlusion", "target": 1.05, "rounds": [1.1, 1.0, 1.3], "cpu": [1.0, 1.0, 1.0],
        "first": 1.4, "evaluations": 730, "batch": 8, "limit_s": 1.25,
    }  # fmt: skip
    found = {"KernelSHAP": 300, "shap": 128, "naive permutations": None}
    needed = {"kind": "evaluations", "name": "a game", "least": 128, "needed": found}
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    shown = table.markdown({"machine": machine, "rows": [ratio, needed], "left_out": ["RISE"]})
    assert "| occlusion | 730 | 1.25 s | 1.10 (1.00 to 1.30) | 1.00 (1.00 to 1.00) | 1.40 | 1.05 |" in shown
    assert "| a game | 300 | 128 or fewer | over 32,768 |" in shown
    assert "Not measured: RISE." in shown


def test_a_gain_is_told_in_a_sentence():
    row = {"kind": "gain", "name": "half", "target": 1.8, "rounds": [2.0, 2.1, 1.9], "cpu": [2.0, 2.0, 2.0]}
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    shown = table.markdown({"machine": machine, "rows": [row], "left_out": []})
    assert "half: 2.00 (1.90 to 2.10) times as fast as plain in wall time" in shown
    assert "the aim is 1.8." in shown


def test_the_kept_results_make_a_table():
    assert "| explanation | evaluations | limit |" in table.markdown()
