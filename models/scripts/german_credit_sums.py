"""Fit two logistic regressions on the German credit data, as sums that linear_shap and additive_shap read.

german_credit_linear takes the scaled columns, where a category counts as its number in the sorted list of the spec;
german_credit_additive gives each category a weight of its own. Both take the float table (N, 20) of german_credit.py.

Install: numpy==2.4.6 scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2
Run: python models/scripts/german_credit_sums.py
"""

import csv
import tomllib
from pathlib import Path

import numpy as np
import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MODELS = Path(__file__).resolve().parents[1]


def main() -> None:
    spec = (MODELS / "german_credit_forest.toml").read_text(encoding="utf-8")
    known = tomllib.loads(spec)
    columns, categories = known["input"]["columns"], known["input"]["categories"]
    with (MODELS / "data" / "german_credit.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = np.array(
        [[categories[c].index(row[c]) if c in categories else float(row[c]) for c in columns] for row in rows],
        dtype=np.float32,
    )
    labels = np.array([row["creditability"] for row in rows])
    train, test = train_test_split(range(len(rows)), test_size=250, random_state=0, stratify=labels)
    coded = [j for j, column in enumerate(columns) if column in categories]
    numeric = [j for j in range(len(columns)) if j not in coded]
    # All categories are known: a column of the sample may lack a rare one.
    encoder = OneHotEncoder(categories=[np.arange(len(categories[columns[j]]), dtype=np.float32) for j in coded])
    scaled = [("numbers", StandardScaler(), numeric), ("categories", encoder, coded)]
    models = {
        "german_credit_linear": make_pipeline(StandardScaler(), LogisticRegression()),
        "german_credit_additive": make_pipeline(ColumnTransformer(scaled), LogisticRegression()),
    }
    for name, model in models.items():
        model.fit(table[train], labels[train])
        print(f"{name}: accuracy {model.score(table[test], labels[test]):.4f} on 250 held-out rows, base 0.7000")
        exported = to_onnx(
            model,
            name=name,
            initial_types=[("features", FloatTensorType([None, len(columns)]))],
            target_opset={"": 17, "ai.onnx.ml": 3},
            options={id(model[-1]): {"zipmap": False}},
        )
        exported.doc_string = ""
        onnx.save(exported, MODELS / f"{name}.onnx")
        changed = spec.replace('name = "output_probability"', f'name = "{exported.graph.output[1].name}"')
        (MODELS / f"{name}.toml").write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    main()
