"""LIME in bins of rows: published bins and weights, closed forms of the coefficients, names, and trees."""

import numpy as np
import pytest
from scipy import stats

import xaionnx
from models import planted
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Features, InputSpec, Model
from xaionnx.data.sample import Sample
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.conditions import quartile_bins
from xaionnx.explainers._games.row_sampling import SampledRows
from xaionnx.explainers.lime import Lime
from xaionnx.perturb.feature_removal import Select

ROWS = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32) * [1, 2, 3]
ROWS = ROWS.astype(np.float32)
X = np.array([[0.2, -3.0, 5.0]], np.float32)


def in_bins(**more):
    return Lime(neighbourhood="bins", background=ROWS, **more)


def test_published_bins_and_weights():
    np.testing.assert_array_equal(quartile_bins(np.arange(8.0)), [1.75, 3.5, 5.25])
    np.testing.assert_array_equal(quartile_bins(np.array([0, 0, 0, 0, 0, 1, 2, 3.0])), [0, 1.25])
    for absent, weight in ((0, 1.0), (1, 0.641180), (2, 0.411112)):
        rows = np.array([[k >= absent for k in range(2)]])
        assert_close(in_bins()._weights(lambda start, stop, rows=rows: rows, 1), [weight], Tolerance.ORDER_ONE)


def truncated_means(column):
    """The mean of the sampled values of each quartile bin, with the rates of the bins."""
    edges = np.percentile(column, (25, 50, 75))
    bins = np.searchsorted(edges, column)
    ends = [column.min(), *edges, column.max()]
    means, rates = [], []
    for k in range(4):
        inside = column[bins == k]
        mean, deviation = inside.mean(), inside.std()
        low, high = (ends[k] - mean) / deviation, (ends[k + 1] - mean) / deviation
        means.append(stats.truncnorm.mean(low, high, loc=mean, scale=deviation))
        rates.append(len(inside) / len(column))
    return np.array(means), np.array(rates), edges


def test_words_are_drawn_at_the_rates_of_the_rows():
    """Categories by their frequencies, and groups of columns together."""
    from xaionnx.explainers._games.conditions import divisions_of

    rng = np.random.default_rng(0)
    home = rng.choice(4, size=500, p=[0.5, 0.3, 0.15, 0.05])
    background = np.column_stack([home, rng.normal(size=500), home * 2, rng.choice(2, size=500)]).astype(np.float32)
    spec = InputSpec(kind="table", columns=("home", "age", "twice", "b"), categories={"home": ("a", "b", "c", "d")})
    sample = Sample({"x": np.float32([1, 0.2, 2, 0])}, "x", spec)
    players = Features.columns([[0, 2]]).players(sample)
    removal = Select(sample, players, {"x": background})
    count = 20_001
    drawn = SampledRows(removal, divisions_of("Lime", removal), 0, count)
    rows, same = drawn.feed(0, count)["x"], drawn.same(sample, count)
    for k in range(4):
        rate, known = (rows[:, 0] == k).mean(), (home == k).mean()
        assert abs(rate - known) < 4 * np.sqrt(known * (1 - known) / count)
    np.testing.assert_array_equal(rows[:, 2], 2 * rows[:, 0])
    group = players.maps["x"][0]
    np.testing.assert_array_equal(same[:, group], rows[:, 0] == 1)


def test_bins_have_the_default_budget_of_the_implementation():
    model = planted.load(planted.linear([[1.0, -2.0, 0.5]]))
    assert xaionnx.explain(model, X, in_bins(), 0).diagnostics["evaluations"] == [5000]
    assert xaionnx.explain(model, X, in_bins(budget=300), 0).diagnostics["evaluations"] == [300]


def test_coefficients_of_a_linear_model_in_closed_form():
    """The weights are products over columns, so that each coefficient is that of its column alone: the mean in the own
    bin minus the mean in the others (Garreau and von Luxburg 2020)."""
    w = np.array([1.0, -2.0, 0.5])
    model = planted.load(planted.linear([w]))
    expected = []
    for j in range(3):
        means, rates, edges = truncated_means(ROWS[:, j].astype(float))
        own = np.searchsorted(edges, X[0, j])
        rest = np.arange(4) != own
        expected.append(w[j] * (means[own] - rates[rest] @ means[rest] / rates[rest].sum()))
    found = [xaionnx.explain(model, X, in_bins(alpha=0, budget=5000, seed=seed), 0) for seed in range(6)]
    values = np.array([one.values[0] for one in found])
    errors = np.array([one.standard_error[0] for one in found])
    assert (np.abs(values - expected) < 4 * errors).all()
    assert 0.4 < np.sqrt(np.square(values - expected).mean() / np.square(errors).mean()) < 1.8
    assert (np.abs(values.mean(axis=0) - expected) < 4 * errors.mean(axis=0) / np.sqrt(6)).all()


def test_the_fit_is_a_ridge_on_the_rows_of_the_neighbourhood():
    from sklearn.linear_model import Ridge

    model = planted.load(planted.linear([[1.0, -2.0, 0.5]]))
    seen = {}
    original = SampledRows.__init__

    def kept(self, removal, divisions, seed, count):
        original(self, removal, divisions, seed, count)
        seen["rows"], seen["sample"] = self, removal.sample

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SampledRows, "__init__", kept)
        result = xaionnx.explain(model, X, in_bins(budget=500), 0)
    # The first row is the sample itself, which is not evaluated again.
    z = np.vstack([np.ones(3), seen["rows"].same(seen["sample"], 499)])
    rows = np.vstack([X, seen["rows"].feed(0, 499)["x"]])
    edges = [np.percentile(ROWS[:, j].astype(float), (25, 50, 75)) for j in range(3)]
    for j in range(3):
        bins, own = np.searchsorted(edges[j], rows[:, j]), np.searchsorted(edges[j], X[0, j])
        assert ((bins == own) == z[:, j]).mean() > 0.99  # float32 may round onto an edge
        assert 0.18 < z[:, j].mean() < 0.32
    weights = np.sqrt(np.exp(-((3 - z.sum(axis=1)) / (0.75**2 * 3))))
    ridge = Ridge(alpha=1.0).fit(z, rows @ [1.0, -2.0, 0.5], sample_weight=weights)
    assert_close(result.values[0], ridge.coef_, Tolerance.SIGNED_LAYERS)
    assert_close(result.diagnostics["intercept"][0][0], ridge.intercept_, Tolerance.SIGNED_LAYERS)
    assert result.diagnostics["evaluations"] == [500]


def test_a_step_is_found_and_the_names_are_rules():
    model = Model.load("models/german_credit_forest.onnx")
    rows = model.read("models/data/german_credit.csv").arrays[model.input().name]
    result = xaionnx.explain(model, rows[:2], Lime(neighbourhood="bins", background=rows, budget=3000))
    first = result.sample(0).feature_names
    assert any(name.startswith("status_of_existing_checking_account = ") for name in first)
    assert any(" < duration_in_month" in name or "duration_in_month <= " in name for name in first)
    assert result.sample(1).feature_names != first
    assert first[np.abs(result.values[0]).argmax()].startswith("status_of_existing_checking_account")
    assert result.diagnostics["stopped_by"] == ["budget"] * 2


def test_a_tree_and_its_path():
    """One column decides: the tree splits by it alone, and its value is the change of the mean."""
    model = planted.load(planted.linear([[0.0, 1.0, 0.0]]))
    result = xaionnx.explain(model, X, in_bins(surrogate="tree", tree_depth=1, budget=2000), 0)
    assert result.values[0, [0, 2]].tolist() == [0, 0]
    assert result.values[0, 1] < 0
    total = result.diagnostics["intercept"][0][0] + result.values.sum()
    assert_close(result.diagnostics["local_prediction"][0][0], total, Tolerance.ORDER_ONE)
    assert result.standard_error is None


def test_what_does_not_fit_is_refused():
    model = planted.load(planted.linear([[1.0, -2.0, 0.5]]))
    with pytest.raises(ParameterError, match=r"Lime needs background rows, .* Got no background"):
        Lime(neighbourhood="bins")
    with pytest.raises(
        ParameterError, match=r"divides columns by rows of data, of which there are 5. Give at least 10"
    ):
        xaionnx.explain(model, X, Lime(neighbourhood="bins", background=ROWS[:5]), 0)
    with pytest.raises(BudgetError, match=r"Lime needs at least 6 model evaluations for 3 features"):
        xaionnx.explain(model, X, in_bins(budget=5), 0)
    picture = np.zeros((1, 3, 12, 12), np.float32)
    with pytest.raises(ParameterError, match=r"this input is not a row of a table"):
        xaionnx.explain(
            planted.load(planted.mean_picture(12, 12, 3)),
            picture,
            Lime(neighbourhood="bins", background=np.repeat(picture, 10, axis=0), features="grid:2"),
            0,
        )


@pytest.mark.parametrize("settings", [{}, {"surrogate": "tree"}, {"select": 1}, {"tolerance": 0.02, "budget": 20_000}])
def test_the_same_rows_surround_all_samples_and_are_run_once(settings, monkeypatch):
    """The rows are drawn whatever the sample is: only the conditions that they meet differ."""
    from xaionnx.runtime.session import Session

    run, counted = Session.run, []

    def counting(self, fetch, feeds, *rest, **options):
        counted.append(len(next(iter(feeds.values()))))
        return run(self, fetch, feeds, *rest, **options)

    model = planted.load(planted.linear([[1.0, -2.0, 0.5], [0.3, 1.0, -1.0]]))
    x = np.concatenate([X, ROWS[:7].astype(np.float32)])
    xaionnx.explain(model, x, in_bins(budget=64), [0, 1])
    method = in_bins(**settings)
    monkeypatch.setattr(Session, "run", counting)
    together = xaionnx.explain(model, x, method, [0, 1])
    ran = sum(counted)
    spent = together.diagnostics["evaluations"]
    assert ran <= max(spent) + len(x)
    assert together.diagnostics["equal_inputs"] == sum(spent) - len(x) - (max(spent) - 1)
    for n in range(len(x)):
        alone = xaionnx.explain(model, x[n : n + 1], method, [0, 1])
        np.testing.assert_array_equal(alone.values[:, 0], together.values[:, n])
        np.testing.assert_array_equal(alone.diagnostics["evaluations"][0], spent[n])
        assert alone.diagnostics["stopped_by"][0] == together.diagnostics["stopped_by"][n]
        assert alone.feature_names == together.sample(n).feature_names


def test_rows_that_differ_where_nothing_is_removed_have_surroundings_of_their_own():
    """The second input belongs to no player, and stays as it is in each sample."""
    model = loaded("g (float[N,2] x, float[N,1] x2) => (float[N,2] y) { y = Mul(x, x2) }")
    x = {"x": np.float32([[0.2, 0.1]] * 3), "x2": np.float32([[1.0], [-3.0], [1.0]])}
    method = Lime(neighbourhood="bins", background=ROWS[:, :2], features={"x": [0, 1]}, alpha=0.0, budget=500)
    first, second, third = xaionnx.explain(model, x, method, 0).values
    np.testing.assert_allclose(second, -3 * first, rtol=1e-4)
    np.testing.assert_array_equal(third, first)
    assert abs(first[0]) > 0.1


def test_whole_numbers_stay_in_the_bin_that_was_drawn(monkeypatch):
    """1.3 of the bin above the quartile 1.25 is not rounded to 1, which is below it."""
    columns = np.random.default_rng(0).poisson([1.0, 4.0, 30.0], (402, 3))
    model = loaded("g (int64[N,3] x) => (float[N,3] y) { y = Cast<to = 1>(x) }")
    seen = []
    original = SampledRows.__init__

    def kept(self, *given):
        original(self, *given)
        seen.append((self, given[0].sample))

    monkeypatch.setattr(SampledRows, "__init__", kept)
    xaionnx.explain(model, columns[:1], Lime(neighbourhood="bins", background=columns, budget=2000), 0)
    ((sampled, sample),) = seen
    rows, same = sampled.feed(0, 1999)["x"], sampled.same(sample, 1999)
    assert rows.dtype == np.int64
    for j in range(3):
        edges = quartile_bins(columns[:, j].astype(float))
        inside = np.searchsorted(edges, rows[:, j]) == np.searchsorted(edges, columns[0, j])
        np.testing.assert_array_equal(inside, same[:, j])
