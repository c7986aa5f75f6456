"""Write dice.npz: a counterfactual of each of a hundred refused loans by DiCE, by two of its searches.

Install: dice-ml==0.12 and onnxruntime==1.32.0, in an environment of its own.
Run: python tests/goldens/make_dice.py, from the root of the repository (some minutes)
"""

import csv
import tomllib
from pathlib import Path

import dice_ml
import numpy as np
import onnxruntime
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
# Rows by method: the second takes seconds a row.
COUNTS = {"random": 100, "genetic": 15}


class Classifier:
    """The ONNX file with the interface of scikit-learn, which DiCE calls."""

    def __init__(self, columns, categories):
        self.session = onnxruntime.InferenceSession(str(ROOT / "models/german_credit_mlp.onnx"))
        self.columns, self.categories = columns, categories

    def rows(self, frame):
        numbers = [
            frame[name].map({word: code for code, word in enumerate(self.categories[name])})
            if name in self.categories
            else frame[name]
            for name in self.columns
        ]
        return np.stack([np.asarray(column, dtype=np.float32) for column in numbers], axis=1)

    def predict_proba(self, frame):
        (logits,) = self.session.run(None, {"features": self.rows(frame)})
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def predict(self, frame):
        return self.predict_proba(frame).argmax(axis=1)


def main():
    spec = tomllib.loads((ROOT / "models/german_credit_mlp.toml").read_text())["input"]
    columns, categories = spec["columns"], spec["categories"]
    with (ROOT / "models/data/german_credit.csv").open() as file:
        table = pd.DataFrame(list(csv.DictReader(file)))[columns]
    numbers = [name for name in columns if name not in categories]
    table[numbers] = table[numbers].astype(int)
    model = Classifier(columns, categories)
    answers = model.predict(table)
    refused = np.flatnonzero(answers == 0)[: max(COUNTS.values())]
    data = dice_ml.Data(dataframe=table.assign(granted=answers), continuous_features=numbers, outcome_name="granted")
    found = {"refused": refused}
    for method, count in COUNTS.items():
        explainer = dice_ml.Dice(data, dice_ml.Model(model=model, backend="sklearn"), method=method)
        rows = np.full((count, len(columns)), np.nan, dtype=np.float32)
        for n, row in enumerate(refused[:count]):
            given = table.iloc[[row]]
            seed = {"random_seed": 0} if method == "random" else {}
            try:
                result = explainer.generate_counterfactuals(given, total_CFs=1, desired_class=1, verbose=False, **seed)
            except Exception as error:  # noqa: BLE001 - DiCE raises its own errors where it finds none
                print(method, row, type(error).__name__, error)
                continue
            frame = result.cf_examples_list[0].final_cfs_df
            if frame is not None and len(frame):
                rows[n] = model.rows(frame[columns].astype(dict.fromkeys(numbers, float)))[0]
        found[method] = rows
        print(method, "found", int(np.isfinite(rows).all(axis=1).sum()))
    np.savez_compressed(Path(__file__).with_name("dice.npz"), **found)


if __name__ == "__main__":
    main()
