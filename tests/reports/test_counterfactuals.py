"""What people met with tools for counterfactuals, tried here: see counterfactuals.toml."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from models import planted
from tests.tiny import loaded, parsed, trained
from xaionnx import Model
from xaionnx.data.spec import InputSpec
from xaionnx.errors import UnknownNameError
from xaionnx.optimization import counterfactual

REPORTS = tomllib.loads(Path(__file__).with_name("counterfactuals.toml").read_text())["report"]


def test_every_report_has_a_test():
    assert [one["number"] for one in REPORTS] == list(range(1, len(REPORTS) + 1))
    assert len({one["link"] for one in REPORTS}) == len(REPORTS) >= 10
    for one in REPORTS:
        assert one.keys() == {"number", "link", "met", "here", "mended", "tests"}
        assert one["tests"]
        assert all(name in globals() for name in one["tests"])


@pytest.fixture(scope="module")
def loans():
    model = trained("german_credit_mlp")
    rows = model.read("models/data/german_credit.csv").arrays["features"]
    refused = np.flatnonzero(model.run({"features": rows})["logits"].argmax(axis=1) == 0)
    return model, rows, refused


@pytest.fixture(scope="module")
def columns(loans):
    names = list(loans[0].spec.columns)
    return {name: number for number, name in enumerate(names)}


SMALL = {"by": "random", "count": 3, "steps": 10}


@pytest.mark.parametrize(("search", "settings"), [("wachter", {}), ("growing_spheres", {}), ("diverse", SMALL)])
def test_numbers_stay_within_the_range_of_the_rows(loans, columns, search, settings):
    """A permitted range is that of the background that is given: rows of ages 30 to 40 permit those."""
    model, rows, refused = loans
    age = columns["age_in_years"]
    some = rows[(rows[:, age] >= 30) & (rows[:, age] <= 40)]
    inside = [n for n in refused if 30 <= rows[n, age] <= 40][:3]
    for one in counterfactual(model, rows[inside], search, to="good", background=some, **settings):
        for each in (one, *one.others):
            assert 30 <= each.row[age] <= 40


@pytest.mark.parametrize(("search", "settings"), [("wachter", {}), ("nearest_row", {}), ("diverse", SMALL)])
def test_columns_that_may_not_vary_do_not(loans, columns, search, settings):
    model, rows, refused = loans
    free = {"credit_amount", "duration_in_month", "purpose", "housing", "status_of_existing_checking_account"}
    fixed = [name for name in columns if name not in free]
    for one in counterfactual(
        model, rows[refused[:3]], search, to="good", background=rows, immutable=fixed, **settings
    ):
        for each in (one, *one.others):
            assert {change.name for change in each.changes} <= free


def test_a_forest_varies_no_column_that_is_fixed():
    model = trained("german_credit_forest")
    name = model.input().name
    rows = model.read("models/data/german_credit.csv").arrays[name]
    refused = rows[np.flatnonzero(model.run({name: rows})[model.output().name].argmax(axis=1) == 0)[:2]]
    for one in counterfactual(model, refused, "diverse", to=1, background=rows, immutable=["age_in_years"], **SMALL):
        for each in (one, *one.others):
            assert all(change.name != "age_in_years" for change in each.changes)


def test_what_is_valid_is_so_by_the_model_itself(loans):
    model, rows, refused = loans
    for one in counterfactual(model, rows[refused[:3]], "diverse", to="good", background=rows, **SMALL):
        ends = np.stack([each.row for each in (one, *one.others)])
        answers = model.run({"features": ends})["logits"].argmax(axis=1)
        assert [each.valid for each in (one, *one.others)] == (answers == 1).tolist()


def test_more_than_five_rows_can_be_asked_for(loans):
    model, rows, refused = loans
    found = counterfactual(
        model, rows[refused[:1]], "diverse", to="good", background=rows, by="random", count=10, steps=20
    )
    assert len(found.others) == 9
    assert len(np.unique(np.stack([one.row for one in (found, *found.others)]), axis=0)) == 10


def numbers_alone():
    """y = x0 - x1 as one number, of columns without categories."""
    model = loaded("g (float[N,2] x) => (float[N,1] y) { y = MatMul(x, w) }", w=np.float32([[1], [-1]]))
    return model, np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


@pytest.mark.parametrize(("search", "settings"), [("wachter", {}), ("diverse", SMALL)])
def test_a_regression_without_categories(search, settings):
    model, rows = numbers_alone()
    found = counterfactual(model, np.zeros((1, 2), np.float32), search, to=1.0, background=rows, **settings)
    assert found.valid
    assert (found.row[0] - found.row[1]) >= 1.0


def test_a_row_outside_the_data_is_taken_as_it_is():
    """Its own value is within the range, so that nothing is refused, and it may come back into the data."""
    model, rows = numbers_alone()
    found = counterfactual(model, np.float32([[-50, 0]]), "wachter", to=0.5, background=rows)
    assert found.valid
    assert found.original[0] == -50


def test_where_no_row_has_the_answer_the_search_ends_and_says_so():
    model, rows = numbers_alone()
    for search, settings in (("wachter", {}), ("growing_spheres", {"draws": 50}), ("diverse", SMALL)):
        found = counterfactual(
            model, rows[:1], search, to=1e6, background=rows, immutable=["column 0", "column 1"], **settings
        )
        assert not found.valid
        assert str(found) == "No row with the wanted answer was found."
        assert found.changes == []


def one_hot():
    """A number and the colours red, green and blue, worth 0, 1 and 3."""
    made = parsed("g (float[N,4] x) => (float[N,1] y) { y = MatMul(x, w) }", w=np.float32([[1], [0], [1], [3]]))
    colours = ["red", "green", "blue"]
    spec = InputSpec(kind="table", columns=["size", *colours], groups={"colour": colours})
    model = planted.load(made, spec=spec)
    rng = np.random.default_rng(1)
    codes = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 60)]
    return model, np.concatenate([rng.normal(size=(60, 1)).astype(np.float32), codes], axis=1)


@pytest.mark.parametrize(("search", "settings"), [("wachter", {}), ("nearest_row", {}), ("diverse", SMALL)])
def test_one_hot_columns_change_together(search, settings):
    model, rows = one_hot()
    found = counterfactual(model, np.float32([[0, 1, 0, 0]]), search, to=2.5, background=rows, **settings)
    assert found.valid
    for one in (found, *found.others):
        assert one.row[1:].sum() == 1
        assert set(one.row[1:].tolist()) == {0.0, 1.0}
    assert any(change.name == "colour" and change.after == "blue" for change in found.changes)


def test_a_column_that_is_no_column_is_refused_by_its_nearest_name(loans):
    model, rows, refused = loans
    with pytest.raises(UnknownNameError, match="age_in_years"):
        counterfactual(model, rows[refused[:1]], to="good", background=rows, immutable=["age_in_year"])


@pytest.mark.parametrize("name", ["xgboost_binary", "lightgbm_binary", "sklearn_forest_binary", "catboost_binary"])
def test_files_that_other_exporters_wrote(name):
    """XGBoost, LightGBM, scikit-learn and CatBoost: labels beside probabilities, and no gradient."""
    model = Model.load(f"tests/goldens/trees/{name}.onnx")
    rows = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    answers = model.run({model.input().name: rows})[model.output().name].argmax(axis=1)
    to = int(1 - answers[0])
    for search, settings in (
        ("wachter", {}),
        ("growing_spheres", {"draws": 300}),
        ("nearest_row", {}),
        ("diverse", SMALL),
    ):
        found = counterfactual(model, rows[:1], search, to=to, background=rows, **settings)
        for one in (found, *found.others):
            assert one.valid
            outputs = model.run({model.input().name: one.row[None]})[model.output().name]
            assert int(outputs[0].argmax()) == to
        if search != "nearest_row":
            assert len(found.changes) <= 2


@pytest.mark.parametrize(("search", "settings"), [("wachter", {}), ("nearest_row", {}), ("diverse", SMALL)])
def test_a_table_of_categories_alone(search, settings):
    """The second or third colour is wanted; three columns have three words each."""
    spec = InputSpec(
        kind="table",
        columns=["colour", "size", "form"],
        categories={name: ["a", "b", "c"] for name in ("colour", "size", "form")},
    )
    model = planted.load(planted.linear([[-1.0, 0.5, 0.0], [1.0, 0.5, 0.0]], [0.5, -0.5]), spec=spec)
    rows = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)], np.float32)
    found = counterfactual(model, rows[:1], search, to=1, background=rows, **settings)
    assert found.valid
    for one in (found, *found.others):
        assert set(one.row) <= {0.0, 1.0, 2.0}
        assert any(change.name == "colour" and change.after in ("b", "c") for change in one.changes)


@pytest.mark.parametrize(("search", "settings"), [("wachter", {}), ("growing_spheres", {}), ("diverse", SMALL)])
def test_columns_that_are_mostly_zero_have_a_scale(search, settings):
    """Nine of ten rows have 0 in both columns: the median absolute deviation is 0."""
    rng = np.random.default_rng(0)
    rows = (rng.random((200, 2)) * (rng.random((200, 2)) < 0.1)).astype(np.float32)
    assert (np.median(np.abs(rows - np.median(rows, axis=0)), axis=0) == 0).all()
    model = planted.load(planted.linear([[0.0, 0.0], [1.0, 1.0]], [0.0, -0.3]))
    found = counterfactual(model, np.zeros((1, 2), np.float32), search, to=1, background=rows, **settings)
    assert found.valid
    assert 0 < found.distance < np.inf
    assert found.changes


def test_contrasts_of_several_rows_at_once():
    """Each row is searched for by itself, and the record names it."""
    model = planted.load(planted.linear([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    rows = np.float32([[3, 1, 1], [1, 3, 1], [1, 1, 3]])
    found = counterfactual(model, rows, "cem", beta=0.01, steps=100, rate=0.1)
    assert [(one.kind.split()[1], one.provenance["input"]) for one in found] == [
        (kind, n) for n in range(3) for kind in ("negative", "positive")
    ]
    assert all(one.valid for one in found)
    assert [one.before for one in found[::2]] == ["0", "1", "2"]
    assert all(one.after != one.before for one in found[::2])


def test_trees_have_counterfactuals_without_gradients_or_prototypes():
    model = trained("german_credit_forest")
    name = model.input().name
    rows = model.read("models/data/german_credit.csv").arrays[name]
    refused = rows[np.flatnonzero(model.run({name: rows})[model.output().name].argmax(axis=1) == 0)[:1]]
    for search, settings in (("wachter", {}), ("growing_spheres", {"seed": 1}), ("nearest_row", {})):
        found = counterfactual(model, refused, search, to=1, background=rows, **settings)
        assert found.valid
        assert model.run({name: found.row[None]})[model.output().name].argmax() == 1


@pytest.mark.parametrize(("search", "settings"), [("wachter", {}), ("growing_spheres", {}), ("nearest_row", {})])
def test_changes_start_from_the_row_that_was_given(loans, columns, search, settings):
    model, rows, refused = loans
    row = rows[refused[:1]].copy()
    row[0, columns["credit_amount"]] = 12345
    found = counterfactual(model, row, search, to="good", background=rows, **settings)
    np.testing.assert_array_equal(found.original, row[0])
    for change in found.changes:
        if change.name == "credit_amount":
            assert "12,345" in change.before or "12345" in change.before


def test_several_rows_with_categories_are_bred(loans, columns):
    model, rows, refused = loans
    settings = {"by": "genetic", "count": 2, "steps": 5, "population": 20}
    found = counterfactual(model, rows[refused[:3]], "diverse", to="good", background=rows, **settings)
    for one in (each for row in found for each in (row, *row.others)):
        assert one.valid
        for change in one.changes:
            words = model.spec.categories.get(change.name)
            assert words is None or {change.before, change.after} <= {word.replace("_", " ") for word in words} | set(
                words
            )
