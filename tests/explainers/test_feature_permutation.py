"""Feature permutation against ablation by hand, and as an importance over labelled data."""

import numpy as np
import pandas
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Features, Model, Target
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainers.feature_permutation import FeaturePermutation
from xaionnx.student import student

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_two_samples_take_the_values_of_each_other():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0], [0.0, 1.0, 1.0]]))
    found = xaionnx.explain(model, X[:2], FeaturePermutation(draws=3), [0, 1])
    change = X[:2] - X[1::-1]
    assert_close(found.values, np.array([[[1, 2, -3]], [[0, 1, 1]]]) * change, Tolerance.ORDER_ONE)
    assert found.diagnostics["evaluations"] == [1 + 3 * 3] * 2
    assert found.baseline_prediction is None


def test_every_value_is_that_of_another_sample_and_each_is_used_once(curved):
    """The change of a linear model names the sample that a value was taken from."""
    linear = planted.load(planted.linear([[1.0, 1.0, 1.0]]))
    donors = []
    for seed in range(4):
        found = xaionnx.explain(linear, X, FeaturePermutation(seed=seed), 0)
        taken = X[:, None] - found.values[:, None]  # (N, 1, F), compared with the donors (1, N, F)
        near = np.abs(taken - X[None]) < 1e-5
        assert (near.sum(axis=1) == 1).all()
        donors.append(near.argmax(axis=1))
        assert (donors[-1] != np.arange(5)[:, None]).all()
        assert (np.sort(donors[-1], axis=0) == np.arange(5)[:, None]).all()
    assert len({each.tobytes() for each in donors}) == 4
    # Each feature has a permutation of its own.
    assert any((each != each[:, :1]).any() for each in donors)
    # By hand, with a model that is not linear.
    found = xaionnx.explain(curved, X, FeaturePermutation(seed=3), 1)
    for n, i in np.ndindex(5, 3):
        changed = X[n].copy()
        changed[i] = X[donors[3][n, i], i]
        scores = curved.run({"x": np.stack([X[n], changed])})["y"][:, 1]
        assert_close(found.values[n, i], scores[0] - scores[1], Tolerance.ORDER_ONE)


def test_samples_that_take_values_of_each_other_are_explained_in_batches_too(curved):
    """Also two that are equal; not where all make one record, or take parts of a layer."""
    rows = np.concatenate([X, X[1:2]])
    bound = FeaturePermutation(draws=3).bind(curved)
    whole = bound.explain(bound.request(curved, rows, 1))
    against = bound.against(bound.request(curved, rows, 1))
    assert not against.compares_samples
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        found = against.explain(against.request(curved, rows[part], 1))
        assert_close(found.values, whole.values[part], Tolerance.ORDER_ONE)
        assert found.provenance["parameters"] == whole.provenance["parameters"]
    for method in (FeaturePermutation(metric="r2", labels=np.arange(6.0)), FeaturePermutation(layer="y")):
        assert method.against(method.request(curved, rows, 1)) is None
    assert bound.against(bound.request(curved, rows[:1], 1)) is None


def test_draws_are_averaged(curved):
    singles = [xaionnx.explain(curved, X, FeaturePermutation(seed=1, draws=draws), 0).values for draws in (1, 2)]
    more = xaionnx.explain(curved, X, FeaturePermutation(seed=1, draws=40), 0).values
    # Each of the four other samples is drawn about as often.
    owed = np.zeros((5, 3))
    for n, i in np.ndindex(5, 3):
        rows = np.repeat(X[n : n + 1], 5, axis=0)
        rows[:, i] = X[:, i]
        scores = curved.run({"x": rows})["y"][:, 0]
        owed[n, i] = (scores[n] - scores).sum() / 4
    far = [np.abs(values - owed).mean() for values in (*singles, more)]
    assert far[2] < 0.4 * min(far[:2])


def test_a_group_over_several_inputs_comes_from_one_sample():
    model = loaded("g (float[N, 1] a, float[N, 1] b) => (float[N, 1] y) { y = Mul(a, b) }")
    x = {"a": np.float32([[1], [2], [3]]), "b": np.float32([[10], [20], [30]])}
    groups = {"a": np.array([0]), "b": np.array([0])}
    found = xaionnx.explain(model, x, FeaturePermutation(features=groups), 0)
    products = np.array([10, 40, 90])
    taken = products - found.feature_values[:, 0]
    assert sorted(taken.tolist()) == products.tolist()
    assert (taken != products).all()


def test_rows_of_data_replace_the_batch(curved):
    rows = np.random.default_rng(5).normal(size=(20, 3)).astype(np.float32)
    kind = FeaturePermutation(donors=rows, draws=200)
    found = xaionnx.explain(curved, X[:1], kind, 0)
    owed = []
    for i in range(3):
        changed = np.repeat(X[:1], 20, axis=0)
        changed[:, i] = rows[:, i]
        scores = curved.run({"x": np.concatenate([X[:1], changed])})["y"][:, 0]
        owed.append(scores[0] - scores[1:].mean())
    np.testing.assert_allclose(found.values[0], owed, atol=0.15)
    together = xaionnx.explain(curved, X, kind, 0)
    assert_close(together.values[:1], found.values, Tolerance.ORDER_ONE)
    assert found.provenance["parameters"]["donors"]["shape"] == [20, 3]
    named = xaionnx.explain(curved, X[:1], FeaturePermutation(donors={"x": rows}, draws=200), 0)
    np.testing.assert_array_equal(named.values, found.values)


def test_the_importance_of_the_columns_of_a_forest():
    """Over real rows, permuting the columns that trees read lowers the predicted class on the mean."""
    forest = Model.load("models/german_credit_forest.onnx")
    x = forest.read("models/data/german_credit_sample.csv").arrays
    found = xaionnx.explain(forest, x, FeaturePermutation(draws=8))
    assert found.values.shape == x[forest.input().name].shape
    importance = found.values.mean(axis=0)
    assert importance.max() > 0.01
    assert importance.min() > -0.3 * importance.max()


def test_pictures_by_superpixels():
    model = Model.load("models/digits_cnn.onnx")
    x = np.random.default_rng(3).uniform(size=(3, 1, 8, 8)).astype(np.float32)
    found = xaionnx.explain(model, x, FeaturePermutation(features=Features.grid(2)), 3)
    assert found.feature_values.shape == (3, 4)
    top = np.s_[:4, :4]
    for n in range(3):
        others = []
        for m in set(range(3)) - {n}:
            changed = x[n : n + 1].copy()
            changed[0, 0][top] = x[m, 0][top]
            scores = model.run({model.input().name: np.concatenate([x[n : n + 1], changed])})[model.output().name]
            others.append(scores[0, 3] - scores[1, 3])
        assert np.abs(np.array(others) - found.feature_values[n, 0]).min() < 1e-4


def test_a_loss_as_the_target():
    model = planted.load(planted.linear([[3.0, 0.0], [0.0, 0.0]]))
    x = np.float32([[1, 5], [-1, 2], [1, 1], [-1, 0]])
    found = xaionnx.explain(model, x, FeaturePermutation(draws=8), Target.loss([0, 1, 0, 1]))
    # The first column decides the class; the second has no weight.
    assert found.values[:, 0].mean() < -0.5
    assert_close(found.values[:, 1], 0, Tolerance.ORDER_ONE)


def test_what_is_refused():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    with pytest.raises(InputMismatchError, match=r"there is only one\. Explain several samples at once, or give rows"):
        xaionnx.explain(model, X[:1], "feature_permutation", 0)
    for rows in (3, [1.0, 2.0], np.empty((0, 3))):
        with pytest.raises(ParameterError, match="'donors' parameter of FeaturePermutation must be an array of rows"):
            FeaturePermutation(donors=rows)
    with pytest.raises(InputMismatchError, match="does not fit input 'x'"):
        xaionnx.explain(model, X, FeaturePermutation(donors=np.zeros((4, 7), np.float32)), 0)


# ---- the importance for a data set


def as_estimator(model, classifier=True):
    """The model as scikit-learn sees it: probabilities of classes, or the first output."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Estimator(ClassifierMixin if classifier else RegressorMixin, BaseEstimator):
        classes_ = np.arange(2)
        fitted_ = True

        def fit(self, x, y):
            return self

        def scores(self, x):
            outputs = model.run({model.input().name: x.astype(np.float32)})
            return np.asarray(outputs[model.output().name], np.float64)

        def predict(self, x):
            return self.scores(x).argmax(axis=1) if classifier else self.scores(x)[:, 0]

        if classifier:

            def predict_proba(self, x):
                return self.scores(x)

    return Estimator()


@pytest.fixture(scope="module")
def credit():
    """The forest, and all 1,000 rows of the German credit data."""
    model = Model.load("models/german_credit_forest.onnx")
    rows = model.read("models/data/german_credit.csv").arrays[model.input().name]
    return model, rows


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "neg_log_loss", "neg_brier_score"])
def test_importances_are_those_of_scikit_learn(credit, metric):
    from sklearn.inspection import permutation_importance

    model, rows = credit
    rows = rows[:300]
    labels = (
        np.random.default_rng(0).random(300) < model.run({model.input().name: rows})[model.output().name][:, 1]
    ).astype(int)
    expected = permutation_importance(as_estimator(model), rows, labels, scoring=metric, n_repeats=3, random_state=7)
    found = xaionnx.explain(model, rows, FeaturePermutation(metric=metric, labels=labels, draws=3, seed=7))
    assert found.values.shape == (1, rows.shape[1])
    assert_close(found.maps["importances"][0], expected.importances, Tolerance.ORDER_ONE)
    assert_close(found.feature_values[0], expected.importances_mean, Tolerance.ORDER_ONE)
    assert_close(found.maps["deviation"][0], expected.importances_std, Tolerance.ORDER_ONE)
    error = student(2) * expected.importances.std(axis=1, ddof=1) / np.sqrt(3)
    assert_close(found.standard_error[0], error, Tolerance.ORDER_ONE)
    assert found.target.tolist() == [f"{metric} over 300 samples"]
    assert found.diagnostics["evaluations"] == [300 * (1 + 3 * rows.shape[1])]
    assert found.feature_names[1] == "duration_in_month"


def test_importances_of_a_regression_and_of_groups_of_columns():
    from sklearn.inspection import permutation_importance

    model = planted.load(planted.linear([[1.0, 2.0, -3.0, 0.0]]))
    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    y = x @ [1, 2, -3, 1] + np.random.default_rng(1).normal(size=200)
    expected = permutation_importance(as_estimator(model, False), x, y, scoring="r2", n_repeats=5, random_state=0)
    found = xaionnx.explain(model, x, "feature_permutation", metric="r2", labels=y, draws=5)
    assert_close(found.values[0], expected.importances_mean, Tolerance.ORDER_ONE)
    assert_close(found.values[0, 3], 0, Tolerance.ORDER_ONE)
    groups = xaionnx.explain(
        model, x, "feature_permutation", metric="r2", labels=y, features=np.array([0, 1, 1, 0]), draws=5
    )
    # The same rows of column 0 alone: column 3 is not read.
    assert_close(groups.feature_values[0, 0], expected.importances_mean[0], Tolerance.ORDER_ONE)
    assert groups.feature_values[0, 1] > found.values[0, 1:3].max()


def test_labels_from_files_and_by_name(tmp_path, credit):
    model, rows = credit
    numbers = model.run({model.input().name: rows[:50]})[model.output().name].argmax(axis=1)
    names = [model.labels[k] for k in numbers] if model.labels else [str(k) for k in numbers]
    np.save(tmp_path / "labels.npy", numbers)
    (tmp_path / "labels.csv").write_text("row,truth\n" + "".join(f"{n},{k}\n" for n, k in enumerate(numbers)))
    settings = {"metric": "accuracy", "draws": 2}
    first = xaionnx.explain(model, rows[:50], FeaturePermutation(labels=numbers, **settings))
    assert first.prediction.tolist() == [1.0]
    given = [tmp_path / "labels.npy", f"{tmp_path / 'labels.csv'}:truth", *([names] if model.labels else [])]
    for labels in given:
        again = xaionnx.explain(model, rows[:50], FeaturePermutation(labels=labels, **settings))
        np.testing.assert_array_equal(again.values, first.values)
    with pytest.raises(
        xaionnx.errors.UnknownNameError, match=r"No column of .*labels.csv named 'trut'. Nearest: truth"
    ):
        xaionnx.explain(model, rows[:50], FeaturePermutation(labels=f"{tmp_path / 'labels.csv'}:trut", **settings))


def test_labels_from_a_column_of_the_table_that_the_model_does_not_read(credit):
    """The file has the column creditability, which the spec ignores."""
    model, rows = credit
    settings = {"metric": "roc_auc", "draws": 2}
    named = xaionnx.explain(
        model, "models/data/german_credit.csv", FeaturePermutation(labels="creditability", **settings)
    )
    read = FeaturePermutation(labels="models/data/german_credit.csv:creditability", **settings)
    np.testing.assert_array_equal(named.values, xaionnx.explain(model, rows, read).values)
    assert named.provenance["inputs"] == ["models/data/german_credit.csv"]
    assert named.samples == 1
    assert named.diagnostics["samples"] == 1000
    with pytest.raises(xaionnx.errors.UnknownNameError, match=r"No column of the table .* named 'credibility'"):
        xaionnx.explain(model, "models/data/german_credit.csv", FeaturePermutation(labels="credibility", **settings))


def test_the_column_of_labels_is_no_input_whether_or_not_the_spec_ignores_it(credit, tmp_path):
    model, _ = credit
    frame = pandas.read_csv("models/data/german_credit.csv").head(40)
    known = xaionnx.explain(model, frame, FeaturePermutation(labels="creditability", metric="accuracy"))
    frame = frame.rename(columns={"creditability": "truth"})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    method = FeaturePermutation(labels="truth", metric="accuracy")
    for given in (frame, tmp_path / "rows.csv"):
        np.testing.assert_array_equal(xaionnx.explain(model, given, method).values, known.values)
    with pytest.raises(xaionnx.errors.DataError, match="has the column 'truth', which the model does not use"):
        xaionnx.explain(model, frame, FeaturePermutation())
    # An input is explained, whoever names it as labels.
    own = FeaturePermutation(labels="age_in_years", metric="accuracy")
    with pytest.raises(xaionnx.errors.UnknownNameError, match="No column of the table that the model does not read"):
        xaionnx.explain(model, frame.drop(columns="truth"), own)


def test_copies_of_a_column_are_permuted_together_or_add_nothing():
    """Two copies of a column that a model adds, and one that is alone."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 600))
    x = np.stack([a, a + 0.01 * rng.normal(size=600), b], axis=1).astype(np.float32)
    model = planted.load(planted.linear([[1.0, 1.0, 1.0]]))
    given = {"metric": "neg_mean_squared_error", "labels": x.sum(axis=1), "draws": 5}
    apart = xaionnx.explain(model, x, FeaturePermutation(**given))
    together = xaionnx.explain(model, x, FeaturePermutation(correlated=0.8, **given))
    assert together.features.tolist() == [[0, 0, 1]]
    # Permuting z of variance 1 costs 2 in squares; of two equal columns that move together 4 times that.
    assert_close(apart.feature_values[0] / 2, [1, 1, 1], Tolerance.ORDER_ONE, 2e4)
    assert_close(together.feature_values[0] / 2, [4, 1], Tolerance.ORDER_ONE, 4e4)
    beyond = xaionnx.explain(model, x, FeaturePermutation(conditional=True, **given))
    assert beyond.feature_values[0, :2].max() < 0.1
    assert beyond.feature_values[0, 2] > 1.5
    assert beyond.diagnostics["subgroups"][0][0] > 4
    with pytest.raises(ParameterError, match="'correlated' parameter of FeaturePermutation needs a 'metric'"):
        FeaturePermutation(correlated=0.8)


def test_permutations_within_groups_stay_within_them():
    from xaionnx.explainers._games.importance import _permutations

    groups = np.array([0, 1, 0, 1, 2, 0])
    for taken in _permutations(groups, 5, np.random.RandomState(0)):
        assert sorted(taken.tolist()) == list(range(6))
        np.testing.assert_array_equal(groups[taken], groups)


def test_a_record_of_a_data_set_survives_its_file_and_is_drawn(tmp_path, credit):
    model, rows = credit
    labels = (rows[:60, 1] > 20).astype(int)
    found = xaionnx.explain(model, rows[:60], FeaturePermutation(metric="roc_auc", labels=labels, draws=2))
    again = xaionnx.Explanation.load(found.save(tmp_path / "importance.npz"))
    np.testing.assert_array_equal(again.values, found.values)
    assert again.samples == 1
    assert again.provenance["parameters"]["metric"] == "roc_auc"
    assert found.plot().mode == "RGB"


def test_wrong_metrics_and_labels_are_refused(credit):
    model, rows = credit
    settings = {"metric": "accuracy", "labels": np.zeros(3, int)}
    with pytest.raises(
        xaionnx.errors.UnknownNameError, match=r"No scikit-learn scorer named 'rocauc'. Nearest: roc_auc"
    ):
        FeaturePermutation(metric="rocauc", labels=[0, 1])
    with pytest.raises(ParameterError, match=r"takes 'metric' and 'labels' together. Got 'metric' without 'labels'"):
        FeaturePermutation(metric="accuracy")
    with pytest.raises(
        ParameterError, match=r"The 'donors' parameter of FeaturePermutation must be None with a metric"
    ):
        FeaturePermutation(donors=rows, **settings)
    with pytest.raises(InputMismatchError, match=r"There are 3 labels for 5 samples"):
        xaionnx.explain(model, rows[:5], FeaturePermutation(**settings))
    with pytest.raises(ParameterError, match=r"The metric roc_auc (is nan on this data|cannot be computed here)"):
        xaionnx.explain(model, rows[:3], FeaturePermutation(metric="roc_auc", labels=np.zeros(3, int)))
    with pytest.raises(ParameterError, match=r"'labels' parameter must be an int in \[0, 1\] for .* Got 2 instead"):
        xaionnx.explain(model, rows[:3], FeaturePermutation(metric="accuracy", labels=[0, 1, 2]))
