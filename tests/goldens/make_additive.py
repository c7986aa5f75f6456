"""Write additive/*.onnx and additive/rows.npz: small linear and additive models by the exporters that people use.

Run with: python tests/goldens/make_additive.py, in an environment with scikit-learn, skl2onnx 1.20.0, interpret-core
0.7.8, ebm2onnx 3.3.1 and pandas.
"""

from __future__ import annotations

from pathlib import Path

import ebm2onnx
import numpy as np
import onnx
import pandas as pd
from interpret.glassbox import ExplainableBoostingClassifier, ExplainableBoostingRegressor
from skl2onnx import to_onnx
from sklearn import linear_model, preprocessing, svm
from sklearn.pipeline import make_pipeline

OUT = Path(__file__).parent / "additive"
COLUMNS = 4


def save(name: str, model: onnx.ModelProto) -> None:
    """Write a model without words about where it was made."""
    model.doc_string = ""
    OUT.mkdir(exist_ok=True)
    onnx.save(model, OUT / f"{name}.onnx")


def linear(x: np.ndarray, y: np.ndarray) -> None:
    two, three = (y > 0).astype(int), np.digitize(y, [-1, 1])
    bins = preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    models = {
        "regression": (linear_model.LinearRegression(), y),
        "far_regression": (linear_model.LinearRegression(), 0.01 * y + 1e5),
        "two_targets": (linear_model.Ridge(), np.stack([y, 1 - y * y], axis=1)),
        "scaled_logistic": (make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()), two),
        "softmax": (linear_model.LogisticRegression(), three),
        "sgd": (linear_model.SGDClassifier(loss="log_loss", alpha=0.1), two),
        "poisson": (linear_model.PoissonRegressor(), np.abs(y)),
        "ridge_classifier": (linear_model.RidgeClassifier(), two),
        "svc": (svm.LinearSVC(), three),
        "bins": (make_pipeline(bins, linear_model.Ridge()), y),
        "polynomial": (make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge()), y),
        "one_against_rest": (linear_model.SGDClassifier(loss="log_loss", alpha=0.1), three),
        "normalizer": (make_pipeline(preprocessing.Normalizer(), linear_model.Ridge()), y),
    }
    for name, (model, target) in models.items():
        fitted = model.fit(x, target)
        last = fitted[-1] if hasattr(fitted, "steps") else fitted
        options = {id(last): {"zipmap": False}} if hasattr(last, "predict_proba") else None
        save(name, to_onnx(fitted, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options=options))


def boosting(x: np.ndarray, y: np.ndarray, words: np.ndarray) -> None:
    frame = pd.DataFrame(x, columns=[*"abcd"])
    frame["e"] = pd.Series(words, dtype=object)
    types = {**dict.fromkeys("abcd", "float"), "e": "str"}
    y = y + x[:, 0] * x[:, 1] + 2 * (words == "red")
    for name, target, pairs in (("pairs", (y > 0).astype(int), 2), ("classes", np.digitize(y, [-1, 1]), 0)):
        model = ExplainableBoostingClassifier(
            interactions=pairs, max_rounds=40, max_bins=12, max_interaction_bins=6, n_jobs=1, outer_bags=2
        )
        save(f"boosting_{name}", ebm2onnx.to_onnx(model.fit(frame, target), types, predict_proba=True))


def boosting_of_numbers(x: np.ndarray, y: np.ndarray, words: np.ndarray) -> dict[str, np.ndarray]:
    """Regressors with gaps in a column, a pair with words and a term of three columns, and what they predict."""
    frame = pd.DataFrame(x, columns=[*"abcd"])
    frame["e"] = pd.Series(words, dtype=object)
    frame.loc[::7, "a"] = np.nan
    y = y + x[:, 0] * x[:, 1] * (1 + x[:, 2]) + 2 * (words == "red") * x[:, 3]
    # Which the exporter asks for, of regressors too, to tell how many scores there are.
    ExplainableBoostingRegressor.classes_ = np.array([0, 1])
    predicted = {}
    for name, pairs in (("number", [("a", "b"), ("d", "e")]), ("three", [("a", "b", "c")])):
        model = ExplainableBoostingRegressor(
            interactions=pairs, max_rounds=40, max_bins=12, max_interaction_bins=6, n_jobs=1, outer_bags=2
        )
        types = {**dict.fromkeys("abcd", "float"), "e": "str"}
        save(f"boosting_{name}", ebm2onnx.to_onnx(model.fit(frame, y), types))
        predicted[f"predicted_{name}"] = model.predict(frame)[:60]
    return predicted


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, COLUMNS)).astype(np.float32)
    y = x @ np.array([1, 2, -1, 0.5]) + 0.1 * rng.normal(size=len(x))
    words = rng.choice(["red", "green", "blue"], len(x))
    linear(x, y)
    boosting(x, y, words)
    predicted = boosting_of_numbers(x, y, words)
    np.savez_compressed(OUT / "rows.npz", x=x[:60], words=words[:60].astype("U5"), **predicted)


if __name__ == "__main__":
    main()
