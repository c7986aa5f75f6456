"""Write trees/*.onnx and trees/rows.npz: small tree models by the exporters that people use.

Run with: python tests/goldens/make_trees.py, in an environment with scikit-learn 1.9.1, skl2onnx 1.20.0, xgboost 3.3.0,
lightgbm 4.7.0, catboost 1.2.10, onnxmltools 1.16.0 and pandas. Each model has at most seven columns, so that all
coalitions of them can be evaluated; ``rows.npz`` has rows of each of the tables.
"""

from __future__ import annotations

import os
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import pandas as pd
import xgboost
from catboost import CatBoostClassifier, CatBoostRegressor
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as MLFloats
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn import ensemble, tree
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

OUT = Path(__file__).parent / "trees"
COLUMNS = 6
OPSET = {"": 17, "ai.onnx.ml": 3}


def table(seed: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Rows and a number with interactions and a threshold."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + 2 * (x[:, 2] > 0.3) * x[:, 3] + x[:, 4] + 0.1 * rng.normal(size=rows)
    return x, y


def save(name: str, model: onnx.ModelProto) -> None:
    """Write a model without words about where it was made."""
    model.doc_string = ""
    OUT.mkdir(exist_ok=True)
    onnx.save(model, OUT / f"{name}.onnx")


def scikit_learn() -> None:
    x, y = table(0)
    two, three = (y > 0).astype(int), np.digitize(y, [-1, 1])
    small = {"random_state": 0, "max_depth": 4}
    models = {
        "forest_regressor": (ensemble.RandomForestRegressor(8, **small), y),
        "forest_two_targets": (ensemble.RandomForestRegressor(8, **small), np.stack([y, y**2], axis=1)),
        "forest_binary": (ensemble.RandomForestClassifier(8, **small), two),
        "forest_classes": (ensemble.RandomForestClassifier(8, **small), three),
        "extra_trees": (ensemble.ExtraTreesClassifier(8, **small), three),
        "tree_regressor": (tree.DecisionTreeRegressor(**small), y),
        "tree_classes": (tree.DecisionTreeClassifier(**small), three),
        "boosting_regressor": (ensemble.GradientBoostingRegressor(n_estimators=12, random_state=0), y),
        "boosting_binary": (ensemble.GradientBoostingClassifier(n_estimators=12, random_state=0), two),
        "boosting_classes": (ensemble.GradientBoostingClassifier(n_estimators=6, random_state=0), three),
        "bagging": (ensemble.BaggingRegressor(tree.DecisionTreeRegressor(**small), 4, random_state=0), y),
        "histogram_binary": (ensemble.HistGradientBoostingClassifier(max_iter=8, max_depth=4, random_state=0), two),
        "histogram_poisson": (
            ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=8, max_depth=4, random_state=0),
            np.abs(y),
        ),
        "voting": (
            ensemble.VotingRegressor(
                [
                    ("forest", ensemble.RandomForestRegressor(3, **small)),
                    ("boosting", ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0)),
                ]
            ),
            y,
        ),
        "multi_output": (MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0)),
                         np.stack([y, y**2], axis=1)),
        "adaboost": (ensemble.AdaBoostClassifier(n_estimators=4, random_state=0), two),
        "isolation": (ensemble.IsolationForest(n_estimators=8, random_state=0), None),
        "scaled": (make_pipeline(StandardScaler(), ensemble.RandomForestRegressor(8, **small)), y),
    }  # fmt: skip
    for name, (model, target) in models.items():
        try:
            fitted = model.fit(x, target)
            options = {"zipmap": False} if hasattr(model, "predict_proba") else {}
            named = {id(fitted): options} if options else None
            save(f"sklearn_{name}", to_onnx(fitted, x[:1], options=named, target_opset=OPSET))
        except Exception as error:  # noqa: BLE001 - an exporter that lacks a model is told, and the rest are written
            print(name, type(error).__name__, str(error)[:200])


def mixed() -> None:
    """A pipeline with one input for each column: numbers that are imputed and scaled, words that are encoded."""
    rng = np.random.default_rng(3)
    x, y = table(3)
    frame = pd.DataFrame({"age": x[:, 0], "amount": x[:, 1], "months": x[:, 2]})
    frame["purpose"] = rng.choice(["car", "radio", "school"], len(frame))
    frame["housing"] = rng.choice(["own", "rent"], len(frame))
    target = (y + 2 * (frame.purpose == "car") - (frame.housing == "rent") > 0).astype(int)
    holed = frame.copy()
    holed.loc[::7, "age"] = np.nan
    numbers, words = ["age", "amount", "months"], ["purpose", "housing"]
    prepare = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("w", OneHotEncoder(handle_unknown="ignore"), words),
        ]
    )
    model = make_pipeline(prepare, ensemble.RandomForestClassifier(8, max_depth=5, random_state=0)).fit(holed, target)
    types = [(n, FloatTensorType([None, 1])) for n in numbers] + [(n, StringTensorType([None, 1])) for n in words]
    named = {id(model): {"zipmap": False}}
    save("sklearn_mixed", to_onnx(model, initial_types=types, options=named, target_opset=OPSET))
    arrays = {name: holed[[name]].to_numpy(np.float32 if name in numbers else "U8") for name in holed}
    np.savez_compressed(OUT / "mixed.npz", **{name: array[:40] for name, array in arrays.items()})


def with_holes(x: np.ndarray) -> np.ndarray:
    """Every seventh value missing, and categories in the last column."""
    holed = x.copy()
    holed.reshape(-1)[::7] = np.nan
    holed[:, 5] = np.arange(len(x)) % 5
    return holed


def boosting() -> None:
    x, y = table(1)
    holed = with_holes(x)
    y = y + 2 * (holed[:, 5] == 3) - (holed[:, 5] == 1)
    two, three = (y > 0).astype(int), np.digitize(y, [-1, 1])
    types = [("x", MLFloats([None, COLUMNS]))]
    few = {"n_estimators": 6, "max_depth": 4, "random_state": 0}
    for name, model, data, target in (
        ("binary", xgboost.XGBClassifier(**few), x, two),
        ("classes", xgboost.XGBClassifier(**few), x, three),
        ("regressor", xgboost.XGBRegressor(**few), x, y),
        ("missing", xgboost.XGBClassifier(**few), holed, two),
        ("poisson", xgboost.XGBRegressor(**few, objective="count:poisson"), x, np.round(np.abs(y))),
        ("dart", xgboost.XGBRegressor(**few, booster="dart"), x, y),
        ("forest", xgboost.XGBRFClassifier(**few), x, two),
    ):
        try:
            save(f"xgboost_{name}", convert_xgboost(model.fit(data, target), initial_types=types, target_opset=15))
        except Exception as error:  # noqa: BLE001 - as above
            print("xgboost", name, type(error).__name__, str(error)[:200])
    few = {"n_estimators": 6, "num_leaves": 12, "random_state": 0, "verbose": -1}
    by = {"categorical_feature": [5]}
    for name, model, data, target, more in (
        ("binary", lightgbm.LGBMClassifier(**few), x, two, {}),
        ("classes", lightgbm.LGBMClassifier(**few), x, three, {}),
        ("regressor", lightgbm.LGBMRegressor(**few), x, y, {}),
        ("missing", lightgbm.LGBMClassifier(**few), holed, two, {}),
        ("categories", lightgbm.LGBMRegressor(**few, min_data_per_group=5, cat_smooth=1), holed, y, by),
        ("zero_missing", lightgbm.LGBMRegressor(**few, zero_as_missing=True), np.where(x > 1, 0, x), y, {}),
        ("poisson", lightgbm.LGBMRegressor(**few, objective="poisson"), x, np.abs(y), {}),
        ("forest", lightgbm.LGBMRegressor(**few, boosting_type="rf", bagging_fraction=0.6, bagging_freq=1), x, y, {}),
    ):
        try:
            fitted = model.fit(pd.DataFrame(data), target, **more)
            save(f"lightgbm_{name}", convert_lightgbm(fitted, initial_types=types, zipmap=False, target_opset=15))
        except Exception as error:  # noqa: BLE001 - as above
            print("lightgbm", name, type(error).__name__, str(error)[:200])
    few = {"iterations": 6, "depth": 4, "random_seed": 0, "verbose": False}
    for name, model, target in (
        ("binary", CatBoostClassifier(**few), two),
        ("classes", CatBoostClassifier(**few), three),
        ("regressor", CatBoostRegressor(**few), y),
    ):
        model.fit(x, target)
        path = str(OUT / f"catboost_{name}.onnx")
        model.save_model(path, format="onnx")
        save(f"catboost_{name}", onnx.load(path))
    np.savez_compressed(OUT / "rows.npz", plain=table(0)[0][:40], boosted=x[:40], holed=holed[:40])


if __name__ == "__main__":
    os.environ["PYTHONHASHSEED"] = "0"
    scikit_learn()
    mixed()
    boosting()
