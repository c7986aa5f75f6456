"""Refused loans: rows with another answer against those of DiCE, written by make_dice.py, and the nearest real row."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import trained
from xaionnx.optimization import counterfactual
from xaionnx.optimization.row_space import RowSpace

GOLDEN = np.load(Path(__file__).with_name("dice.npz"))


@pytest.fixture(scope="module")
def loans():
    model = trained("german_credit_mlp")
    return model, model.read("models/data/german_credit.csv").arrays["features"]


@pytest.fixture(scope="module")
def nearest(loans):
    model, rows = loans
    return counterfactual(model, rows[GOLDEN["refused"]], "wachter", to="good", background=rows)


def test_all_of_a_hundred_refused_loans_are_granted_by_one_change_in_the_median(nearest):
    assert len(nearest) == 100
    assert all(one.valid for one in nearest)
    assert np.median([len(one.changes) for one in nearest]) == 1


@pytest.mark.parametrize("method", ["random", "genetic"])
def test_rows_are_nearer_than_those_of_dice(loans, nearest, method):
    model, rows = loans
    space, theirs = RowSpace.of(rows, model.input_spec), GOLDEN[method]
    found = np.isfinite(theirs).all(axis=1)
    assert found.mean() > 0.9
    own = np.array([one.distance for one in nearest[: len(theirs)]])[found]
    # Ages and amounts in its rows are whole, and the model grants them.
    answers = model.run({"features": theirs[found]})["logits"].argmax(axis=1)
    assert answers.mean() > 0.9
    away = [
        float(space.distance(row[None], rows[n])[0])
        for n, row in zip(GOLDEN["refused"][: len(theirs)][found], theirs[found], strict=True)
    ]
    assert np.median(own) < np.median(away) / 2
    assert (own <= np.array(away) + 1e-9).mean() > 0.9
    changed = [
        len(space.changed(row, rows[n]))
        for n, row in zip(GOLDEN["refused"][: len(theirs)][found], theirs[found], strict=True)
    ]
    assert np.median([len(one.changes) for one in nearest]) <= np.median(changed)


def test_rows_are_nearer_than_the_nearest_real_row(loans, nearest):
    model, rows = loans
    real = counterfactual(model, rows[GOLDEN["refused"]], "nearest_row", to="good", background=rows)
    assert all(a.distance <= b.distance for a, b in zip(nearest, real, strict=True))
