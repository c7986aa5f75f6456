"""Counterfactuals against closed forms, on a loan model, and within what may change."""

import numpy as np
import pytest

from models import planted
from tests.tiny import loaded, trained
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.optimization import COUNTERFACTUALS, RowSearch, counterfactual
from xaionnx.optimization.counterfactual_search import Case
from xaionnx.optimization.counterfactuals.diverse import Diverse
from xaionnx.optimization.counterfactuals.wachter import Wachter
from xaionnx.optimization.diversity import chosen, diversity, diversity_slope
from xaionnx.optimization.judge import Judge
from xaionnx.optimization.row_space import Limits, RowSpace, Variable

ZERO = np.zeros((1, 2), np.float32)


@pytest.fixture(scope="module")
def linear():
    """f = x1 + 2 x2 - 1."""
    return planted.load(planted.linear([[1.0, 2.0]], -1.0))


def case_of(model, row, to, scale, low=-10.0, high=10.0, whole=(False, False), categories=()):
    count = len(scale)
    variables = tuple(
        Variable(f"x{k}", (k,), "number", low, high, scale[k], np.empty((0, 1))) for k in range(count)
    ) + tuple(categories)
    space = RowSpace(variables, np.repeat(row[None], 3, axis=0))
    ends = np.broadcast_to(np.asarray(low, float), count), np.broadcast_to(np.asarray(high, float), count)
    limits = Limits(
        np.arange(count), row[:count].astype(float), *ends, np.asarray(scale, float), np.array(whole), tuple(categories)
    )
    judge = Judge(model, row, to)
    # The closed forms aim at the border itself.
    judge.aim = 0.0
    return Case(row, space, limits, judge)


@pytest.mark.parametrize(("weight", "expected"), [(1, (1 / 3, 2 / 3)), (10, (0.392157, 0.784314)), (1e6, (0.4, 0.8))])
def test_the_squared_distance_has_the_closed_form(linear, weight, expected):
    """dx = weight (t - f) w / (1 + weight w.w), whose limit is the projection."""
    case = case_of(linear, ZERO[0], 1.0, (1, 1))
    found = Wachter(norm="l2", steps=2000).minimum(case, ZERO[0].astype(float), weight)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("mad", "weight", "expected"),
    [((1, 4), 1e4, (0, 1)), ((5, 1), 1e4, (2, 0)), ((1e9, 4), 0.1, None), ((1, 4), 0.02, (0, 0))],
)
def test_the_distance_in_deviations_moves_one_column(linear, mad, weight, expected):
    case = case_of(linear, ZERO[0], 1.0, mad)
    found, search = ZERO[0].astype(float), Wachter(steps=4000)
    for each in np.geomspace(min(weight, 0.1), weight, 12):  # grown, as the search does
        found = search.minimum(case, found, each)
    if expected is None:  # x2 alone
        case = case_of(linear, ZERO[0], 1.0, (1, 4), low=np.array([0.0, -10]), high=np.array([0.0, 10]))
        found, expected = Wachter(steps=4000).minimum(case, ZERO[0].astype(float), weight), (0, 0.6875)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_column_that_must_not_change_and_a_range(linear):
    fixed = case_of(linear, ZERO[0], 0.0, (1, 1), low=np.array([0.0, -10]), high=np.array([0.0, 10]))
    np.testing.assert_allclose(
        Wachter(norm="l2", steps=2000).minimum(fixed, ZERO[0].astype(float), 1e6), (0, 0.5), atol=1e-3
    )
    box = case_of(linear, ZERO[0], 0.0, (1, 1), high=np.array([10, 0.3]))
    np.testing.assert_allclose(
        Wachter(norm="l2", steps=4000).minimum(box, ZERO[0].astype(float), 1e6), (0.4, 0.3), atol=2e-3
    )


def test_one_category_is_cheaper_than_two_changes():
    """Categories (a, b, c) worth (0, 1.5, 4), a number with slope 1, and 2 are needed: c alone, at a cost of 1."""
    model = loaded(
        "g (float[N,2] x) => (float[N,1] y) { i = Cast<to = 7>(x)  c = Gather<axis = 1>(i, one)  w = Gather(worth, c)"
        " n = Gather<axis = 1>(x, zero)  y = Add(n, w) }",
        one=np.array([1], np.int64),
        zero=np.array([0], np.int64),
        worth=np.float32([0, 1.5, 4]),
    )
    options = np.arange(3, dtype=np.float32)[:, None]
    category = Variable("letter", (1,), "category", 0, 2, 1, options, "", ("a", "b", "c"))
    case = case_of(model, np.float32([0, 0]), 2.0, (1,), whole=(False,), categories=(category,))
    found = Wachter().find(case)
    np.testing.assert_array_equal(found, [0, 2])


def test_the_nearest_point_of_a_logistic_model():
    """Of x1 + 2 x2 - 1 it is (.2, .4), at the distance .447214, which growing spheres approach."""
    model = loaded(
        "g (float[N,2] x) => (float[N,2] z){ s = MatMul(x, w)  a = Add(s, b)  n = Neg(a)  z = Concat<axis = 1>(n, a) }",
        w=np.float32([[1], [2]]),
        b=np.float32([-1]),
    )
    # Median absolute deviations of 1, and numbers that are not whole.
    background = np.float32([[-1.1, -1.1], [1.1, 1.1], [-1.1, 1.1], [1.1, -1.1], [9.5, 9.5], [-9.5, -9.5], [0.1, 0.1]])
    row = np.float32([[0.0, 0.0]])
    found = counterfactual(model, row, "growing_spheres", to=1, background=background, draws=20_000)
    assert found.valid
    case = case_of(model, row[0], 1, (1, 1))
    near = COUNTERFACTUALS.configured("growing_spheres", {"draws": 20_000})._nearest(
        case, np.random.default_rng(0), 0, 0.46
    )
    assert np.linalg.norm(near) == pytest.approx(0.4472, abs=0.01)


def letters(worth):
    """A model that adds what the letters of each column are worth, and its columns: categories alone."""
    columns = [np.float32(each) for each in worth]
    terms = "".join(f" i{k} = Gather<axis = 1>(c, at{k})  w{k} = Gather(worth{k}, i{k})" for k in range(len(columns)))
    names = ", ".join(f"w{k}" for k in range(len(columns)))
    model = loaded(
        f"g (float[N,{len(columns)}] x) => (float[N,1] y) {{ c = Cast<to = 7>(x) {terms} y = Sum({names}) }}",
        **{f"at{k}": np.array([k], np.int64) for k in range(len(columns))},
        **{f"worth{k}": each for k, each in enumerate(columns)},
    )
    options = [np.arange(len(each), dtype=np.float32)[:, None] for each in columns]
    return model, [Variable(f"x{k}", (k,), "category", 0, len(each) - 1, 1, each) for k, each in enumerate(options)]


@pytest.mark.parametrize(("goal", "changed"), [(3.0, 1), (4.5, 2), (5.5, 3), (9.0, None)])
def test_growing_spheres_of_categories_alone_change_as_few_as_it_takes(goal, changed):
    """Columns are worth up to 3, 1.5 and 1 more than their first letter; a letter of one option stays."""
    model, columns = letters([[0, 1, 3], [0, 1.5], [0, 0.5, 1], [0]])
    case = case_of(model, np.zeros(4, np.float32), goal, (), whole=(), categories=columns)
    found = COUNTERFACTUALS.configured("growing_spheres", {}).find(case)
    if changed is None:
        assert found is None
    else:
        assert (found != 0).sum() == changed
        assert case.judge.valid(found[None])[0]


def test_growing_spheres_reach_a_row_by_numbers_and_a_category_together():
    """x0 is worth at most 1 in its range, a letter 1.5, and 2 are needed."""
    model = loaded(
        "g (float[N,2] x) => (float[N,1] y) { i = Cast<to = 7>(x)  c = Gather<axis = 1>(i, one)  w = Gather(worth, c)"
        " n = Gather<axis = 1>(x, zero)  y = Add(n, w) }",
        one=np.array([1], np.int64),
        zero=np.array([0], np.int64),
        worth=np.float32([0, 1.5]),
    )
    letter = Variable("letter", (1,), "category", 0, 1, 1, np.float32([[0], [1]]))
    case = case_of(model, np.float32([0, 0]), 2.0, (1,), low=-1.0, high=1.0, whole=(False,), categories=(letter,))
    found = COUNTERFACTUALS.configured("growing_spheres", {}).find(case)
    assert found[1] == 1
    assert 0.5 <= found[0] < 0.6


@pytest.fixture(scope="module")
def loans():
    model = trained("german_credit_mlp")
    rows = model.read("models/data/german_credit.csv").arrays["features"]
    answers = model.run({"features": rows})["logits"].argmax(axis=1)
    return model, rows, np.flatnonzero(answers == 0)


ROWS = [name for name in COUNTERFACTUALS.names() if issubclass(COUNTERFACTUALS.find(name), RowSearch)]


@pytest.mark.parametrize("search", ROWS)
def test_what_is_found_is_valid_and_keeps_what_must_stay(loans, search):
    model, rows, refused = loans
    fixed = ["age_in_years", "personal_status_and_sex", "foreign_worker"]
    places = [list(model.spec.columns).index(name) for name in fixed]
    duration = list(model.spec.columns).index("duration_in_month")
    for number in refused[:8]:
        found = counterfactual(
            model,
            rows[number : number + 1],
            search,
            to="good",
            background=rows,
            immutable=fixed,
            ways={"duration_in_month": "down"},
            **({"steps": 10, "population": 40} if search == "diverse" else {}),
        )
        assert found.valid == (model.run({"features": found.row[None]})["logits"][0].argmax() == 1)
        np.testing.assert_array_equal(found.row[places], rows[number, places])
        assert found.row[duration] <= rows[number, duration]
        # All columns of these data are whole numbers.
        np.testing.assert_array_equal(found.row, np.rint(found.row))
        assert found.changes or not found.valid
    small = {"steps": 10, "population": 40} if search == "diverse" else {}
    again = counterfactual(model, rows[refused[:1]], search, to="good", background=rows, **small)
    once = counterfactual(model, rows[refused[:1]], search, to="good", background=rows, **small)
    np.testing.assert_array_equal(again.row, once.row)


def test_refused_loans_need_few_changes(loans):
    model, rows, refused = loans
    found = counterfactual(model, rows[refused[:12]], "wachter", to="good", background=rows)
    nearest = counterfactual(model, rows[refused[:12]], "nearest_row", to="good", background=rows)
    assert all(one.valid for one in (*found, *nearest))
    assert np.median([len(one.changes) for one in found]) <= 2
    assert np.median([one.distance for one in found]) < np.median([one.distance for one in nearest]) / 2
    assert all(one.plausibility == 0 for one in nearest)
    # The row itself is in the data too, and is no evidence that the changes occur.
    space = RowSpace.of(rows, model.input_spec)
    for number, one in zip(refused[:12], found, strict=True):
        others = np.delete(rows, number, axis=0)
        assert one.plausibility == pytest.approx(space.distance(others, one.row).min())


def test_growing_spheres_find_loans_by_categories_alone(loans):
    model, rows, refused = loans
    numbers = [name for name in model.spec.columns if name not in model.spec.categories]
    settings = {"to": "good", "background": rows, "immutable": [*numbers, "foreign_worker"]}
    found = counterfactual(model, rows[refused[:20]], "growing_spheres", **settings)
    nearest = counterfactual(model, rows[refused[:20]], "wachter", **settings)
    places = [list(model.spec.columns).index(name) for name in settings["immutable"]]
    for one, least in zip(found, nearest, strict=True):
        assert one.valid
        assert one.distance <= least.distance + 1
        np.testing.assert_array_equal(one.row[places], one.original[places])


def test_growing_spheres_of_all_columns_are_nearly_as_near_as_wachter(loans):
    model, rows, refused = loans
    found = counterfactual(model, rows[refused[:30]], "growing_spheres", to="good", background=rows)
    assert all(one.valid for one in found)
    assert np.median([one.distance for one in found]) < 1.3


def test_a_forest_has_counterfactuals_without_a_gradient():
    model = trained("german_credit_forest")
    name = model.input().name
    rows = model.read("models/data/german_credit.csv").arrays[name]
    answers = model.run({name: rows})[model.output().name].argmax(axis=1)
    refused = rows[np.flatnonzero(answers == 0)[:3]]
    assert all(one.valid for one in counterfactual(model, refused, "wachter", to=1, background=rows))


def test_changes_read_as_a_reader_writes_them(loans):
    model, rows, refused = loans
    found = counterfactual(model, rows[refused[:6]], "wachter", to="good", background=rows)
    words = [str(change) for one in found for change in one.changes]
    assert all(" -> " in line for line in words)
    assert not any("nan" in line for line in words)


def test_a_row_that_has_the_answer_stays(loans):
    model, rows, _ = loans
    accepted = np.flatnonzero(model.run({"features": rows})["logits"].argmax(axis=1) == 1)[:1]
    found = counterfactual(model, rows[accepted], "wachter", to="good", background=rows)
    assert (found.valid, found.changes, found.distance) == (True, [], 0)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"to": "excellent"}, UnknownNameError, "excellent"),
        ({"to": 5}, UnknownNameError, "2 classes"),
        ({"to": 0.7}, UnknownNameError, r"whole numbers or labels\. Got 0\.7"),
        ({"immutable": ["colour"]}, UnknownNameError, "colour"),
        ({"ways": {"housing": "up"}}, ParameterError, "of a number"),
        ({"ways": {"age_in_years": "sideways"}}, ParameterError, "up or down"),
        ({"search": "magic"}, UnknownNameError, "magic"),
    ],
)
def test_what_does_not_fit_is_refused(loans, settings, error, words):
    model, rows, refused = loans
    with pytest.raises(error, match=words):
        counterfactual(model, rows[refused[:1]], **{"to": "good", "background": rows, **settings})


def test_pictures_are_refused():
    digits = np.zeros((2, 1, 28, 28), np.float32)
    with pytest.raises(ParameterError, match="rows"):
        counterfactual(trained("mnist_cnn"), digits[:1], to=3, background=digits)


def test_the_diversity_of_published_rows():
    """The determinant of 1 / (1 + L1), with 1e-4 added to the diagonal."""
    points = np.array([[1.0, 0], [0, 1], [1, 1]])
    between = np.abs(points[:, None] - points[None]).sum(axis=2)
    assert diversity(between[:2, :2]) == pytest.approx(0.888889, abs=3e-4)
    assert diversity(between) == pytest.approx(0.555556, abs=3e-4)
    assert diversity(np.zeros((2, 2))) == pytest.approx(0.00020001, abs=1e-10)
    # By differences.
    slope = diversity_slope(between)
    for i, j in ((0, 1), (1, 2)):
        moved = between.copy()
        moved[i, j] += 1e-6
        moved[j, i] += 1e-6
        assert (diversity(moved) - diversity(between)) / 1e-6 == pytest.approx(slope[i, j] + slope[j, i], abs=1e-5)


@pytest.mark.parametrize("by", ["gradient", "genetic", "random"])
def test_diverse_rows_are_valid_different_and_more_diverse_than_the_nearest(loans, by):
    model, rows, refused = loans
    fixed = ["age_in_years", "foreign_worker"]
    found = counterfactual(
        model,
        rows[refused[:1]],
        "diverse",
        to="good",
        background=rows,
        immutable=fixed,
        ways={"duration_in_month": "down"},
        by=by,
        count=3,
        steps=40,
    )
    every = [found, *found.others]
    assert len(every) == 3
    assert all(one.valid for one in every)
    ends = np.stack([one.row for one in every])
    assert (model.run({"features": ends})["logits"].argmax(axis=1) == 1).all()
    assert len(np.unique(ends, axis=0)) == 3
    np.testing.assert_array_equal(ends, np.rint(ends))
    columns = [list(model.spec.columns).index(name) for name in (*fixed, "duration_in_month")]
    np.testing.assert_array_equal(ends[:, columns[:2]], np.repeat(found.original[None, columns[:2]], 3, axis=0))
    assert (ends[:, columns[2]] <= found.original[columns[2]]).all()
    assert found.diversity > 0.2
    assert 0.5 < found.sparsity < 1
    assert str(found).count("\nor\n") == 2


def test_rows_that_are_chosen_weigh_nearness_and_diversity():
    rows = np.float32([[1, 0], [1.1, 0], [0, 1.5], [4, 4]])
    space = RowSpace(tuple(Variable(f"x{k}", (k,), "number", -9, 9, 1.0, np.empty((0, 1))) for k in range(2)), rows)
    picked = chosen(space, np.zeros(2, np.float32), rows, 2, 0.5, 1.0)
    np.testing.assert_array_equal(picked, [[1, 0], [0, 1.5]])
    far = chosen(space, np.zeros(2, np.float32), rows, 2, 0.0, 1.0)
    np.testing.assert_array_equal(far, [[1, 0], [4, 4]])


def test_a_forest_has_diverse_rows_by_breeding():
    model = trained("german_credit_forest")
    name = model.input().name
    rows = model.read("models/data/german_credit.csv").arrays[name]
    answers = model.run({name: rows})[model.output().name].argmax(axis=1)
    refused = rows[np.flatnonzero(answers == 0)[:1]]
    found = counterfactual(model, refused, "diverse", to=1, background=rows, count=3, steps=20)
    assert len(found.others) == 2
    assert all(one.valid for one in (found, *found.others))


def test_gradients_that_are_asked_for_and_missing_are_refused():
    model = trained("german_credit_forest")
    name = model.input().name
    rows = model.read("models/data/german_credit.csv").arrays[name]
    refused = rows[model.run({name: rows})[model.output().name].argmax(axis=1) == 0]
    with pytest.raises(UnsupportedModelError, match=r"has no gradient\. Take by='genetic'"):
        counterfactual(model, refused[:1], Diverse(by="gradient"), to=1, background=rows)
