"""Write tree_reports/*.onnx and tree_reports/rows.npz: the models of public reports about TreeSHAP, by their exporters.

Run with: python tests/goldens/make_tree_reports.py, in an environment with scikit-learn 1.9.1, skl2onnx 1.20.0, xgboost
3.2.0, lightgbm 4.7.0, catboost 1.2.10, onnxmltools 1.16.0 and pandas. ``rows.npz`` has three rows to explain
and eight others of each table, and for each model what its library predicts for the former ahead of the link.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnx.helper
import pandas as pd
import xgboost
from catboost import CatBoostRegressor
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as write_xgboost
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn import calibration, ensemble, linear_model, tree
from sklearn.base import BaseEstimator

OUT = Path(__file__).parent / "tree_reports"
COLUMNS = 6
TYPES = [("x", FloatTensorType([None, COLUMNS]))]
Array = np.ndarray[tuple[int, ...], np.dtype[np.floating]]
_write = onnx.helper.make_attribute


def _attribute(key: str, value: object, *more: object, **stated: object) -> onnx.AttributeProto:
    """Of lists that hold truth values, which protobuf no longer takes as whole numbers, and skl2onnx 1.20 writes."""
    if isinstance(value, list) and any(isinstance(one, (bool, np.bool_)) for one in value):
        value = [int(one) for one in value]
    return _write(key, value, *more, **stated)


def tables() -> tuple[dict[str, Array], dict[str, Array]]:
    """Rows by kind, and a number for each row by kind."""
    rng = np.random.default_rng(7)
    plain = rng.normal(size=(400, COLUMNS)).astype(np.float32)
    y = plain[:, 0] * plain[:, 1] + 2 * (plain[:, 2] > 0.3) * plain[:, 3] + plain[:, 4]
    y += 0.1 * rng.normal(size=len(y))
    holed = plain.copy()
    holed.reshape(-1)[::7] = np.nan
    words = plain.copy()
    words[:, 5], words[:, 4] = rng.integers(0, 40, len(y)), rng.integers(0, 5, len(y))
    named = y + 2 * (words[:, 5] % 3 == 0) - (words[:, 4] == 2)
    return {"plain": plain, "holed": holed, "words": words}, {"plain": y, "holed": y, "words": named}


def of_sklearn(model: BaseEstimator, x: Array) -> onnx.ModelProto:
    """The file, with an array of probabilities."""
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    return to_onnx(model, x[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3})


def of_lightgbm(model: BaseEstimator) -> onnx.ModelProto:
    return convert_lightgbm(model, initial_types=TYPES, zipmap=False, target_opset=15)


def of_xgboost(model: BaseEstimator) -> onnx.ModelProto:
    return convert_xgboost(model, initial_types=TYPES, target_opset=15)


def log_odds(probabilities: Array) -> Array:
    """Ahead of a sigmoid."""
    return np.log(probabilities) - np.log1p(-probabilities)


def main() -> None:
    onnx.helper.make_attribute = _attribute
    update_registered_converter(
        xgboost.XGBClassifier, "XGBoostXGBClassifier", calculate_linear_classifier_output_shapes, write_xgboost,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )  # fmt: skip
    OUT.mkdir(exist_ok=True)
    rows, target = tables()
    kept: dict[str, Array] = {f"rows_{kind}": table[:3] for kind, table in rows.items()}
    kept |= {f"others_{kind}": table[20:28] for kind, table in rows.items()}

    def save(name: str, model: onnx.ModelProto, raw: Array) -> None:
        model.doc_string = ""
        onnx.save(model, OUT / f"{name}.onnx")
        kept[f"raw_{name}"] = np.asarray(raw, np.float64)

    x, y = rows["plain"], target["plain"]
    two, three, positive = (y > 0).astype(int), np.digitize(y, [-1, 1]), np.abs(y)
    small, forest = {"random_state": 0, "max_depth": 4}, ensemble.RandomForestClassifier
    extra, boosting = ensemble.ExtraTreesClassifier, ensemble.GradientBoostingClassifier

    def sums(model: BaseEstimator) -> Array:
        return model.predict(x[:3])

    def probabilities(model: BaseEstimator) -> Array:
        return model.predict_proba(x[:3])

    def logits(model: BaseEstimator) -> Array:
        return log_odds(model.predict_proba(x[:3]))

    hist = ensemble.HistGradientBoostingRegressor(max_iter=6, max_depth=4).fit(rows["holed"], y)
    save("histogram_missing", of_sklearn(hist, rows["holed"]), hist.predict(rows["holed"][:3]))
    voters = [("a", forest(4, **small)), ("b", extra(4, **small))]
    five = xgboost.XGBClassifier(n_estimators=5, max_depth=3, random_state=0)
    scikit_learn: dict[str, tuple[BaseEstimator, Array, Callable[[BaseEstimator], Array]]] = {
        "deep": (tree.DecisionTreeRegressor(max_depth=17, random_state=0), y, sums),
        "no_prior": (boosting(n_estimators=6, init="zero", random_state=0), two, logits),
        "voting": (
            ensemble.VotingClassifier(voters, voting="soft", weights=np.array([1.0, 3.0]), flatten_transform=False),
            three, probabilities,
        ),
        "calibrated": (calibration.CalibratedClassifierCV(forest(4, **small), cv=2, ensemble=False), two, logits),
        "calibrated_folds": (calibration.CalibratedClassifierCV(forest(4, **small), cv=2), two, probabilities),
        "calibrated_xgboost": (calibration.CalibratedClassifierCV(five, cv=2, ensemble=False), two, probabilities),
        "calibrated_xgboost_folds": (calibration.CalibratedClassifierCV(five, cv=2), two, probabilities),
        "stacked": (ensemble.StackingClassifier(voters, cv=2), two, logits),
        "stacked_numbers": (
            ensemble.StackingRegressor(
                [("a", ensemble.RandomForestRegressor(4, **small)), ("b", ensemble.ExtraTreesRegressor(4, **small))],
                cv=2, final_estimator=linear_model.Ridge(),
            ),
            y, sums,
        ),
    }  # fmt: skip
    for name, (model, goal, raw) in scikit_learn.items():
        save(name, of_sklearn(model.fit(x, goal), x), raw(model))
    isolation = ensemble.IsolationForest(n_estimators=6, max_samples=64, random_state=0).fit(x)
    save("isolation", of_sklearn(isolation, x), isolation.decision_function(x[:3]))

    few = {"n_estimators": 6, "num_leaves": 12, "random_state": 0, "verbose": -1}
    lgb = lightgbm.LGBMRegressor
    categories = {"categorical_feature": [4, 5]}
    for name, model, kind, goal, more in (
        ("categories", lgb(**few, min_data_per_group=5, cat_smooth=1), "words", target["words"], categories),
        ("dropped", lgb(**few, boosting_type="dart", drop_rate=0.5, skip_drop=0.0), "plain", y, {}),
        ("tweedie", lgb(**few, objective="tweedie"), "plain", positive, {}),
        ("quantile", lgb(**few, objective="quantile", alpha=0.9), "plain", y, {}),
        ("monotone", lgb(**few, monotone_constraints=[1, 0, -1, 0, 0, 1]), "plain", y, {}),
        ("ranker", lightgbm.LGBMRanker(**few), "plain", three, {"group": [10] * 40}),
        ("one_for_all", lightgbm.LGBMClassifier(**few, objective="multiclassova"), "plain", three, {}),
        ("forest", lightgbm.LGBMClassifier(**few, boosting_type="rf", bagging_fraction=0.6, bagging_freq=1), "plain",
         two, {}),
    ):  # fmt: skip
        fitted = model.fit(pd.DataFrame(rows[kind]), goal, **more)
        save(name, of_lightgbm(fitted), fitted.predict(pd.DataFrame(rows[kind][:3]), raw_score=True))

    few = {"n_estimators": 6, "max_depth": 4, "random_state": 0}
    for name, model, goal in (
        ("base_score", xgboost.XGBClassifier(**few, base_score=0.2), two),
        ("classes", xgboost.XGBClassifier(**few), three),
        ("parallel", xgboost.XGBRegressor(**few, num_parallel_tree=3, subsample=0.7), y),
        ("tweedie_xgboost", xgboost.XGBRegressor(**few, objective="reg:tweedie"), positive),
    ):
        save(name, of_xgboost(model.fit(x, goal)), model.predict(x[:3], output_margin=True))
    times = xgboost.DMatrix(x)
    for side in ("lower", "upper"):
        times.set_float_info(f"label_{side}_bound", positive + 0.1)
    booster = xgboost.train({"objective": "survival:aft", "max_depth": 4}, times, 6)
    save("survival", of_xgboost(booster), booster.predict(xgboost.DMatrix(x[:3]), output_margin=True))

    for name, kind, stated in (("oblivious", "plain", {}), ("gaps_are_largest", "holed", {"nan_mode": "Max"})):
        model = CatBoostRegressor(iterations=4, depth=5, random_seed=0, verbose=False, **stated).fit(rows[kind], y)
        path = OUT / f"{name}.onnx"
        model.save_model(str(path), format="onnx")
        save(name, onnx.load(path), model.predict(rows[kind][:3], prediction_type="RawFormulaVal"))
    np.savez_compressed(OUT / "rows.npz", **kept)


if __name__ == "__main__":
    main()
