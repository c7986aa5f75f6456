"""Save what Captum returns for calls of its own tests that other goldens do not cover, on two small nets.

Needs what `tests.goldens.make_propagation` needs.

    python -m tests.goldens.make_calls     from the root of the repository

Writes ``calls.json``: by name of a call its values, calculated in float64. `tests.goldens.test_calls` has the nets in
ONNX, and makes the same calls.

neuron_conductance:NET
    With 50 points of Gauss-Legendre, of one unit of a layer.
integrated_gradients, deep_lift
    Without multiplication by the difference from the baseline.
layer_ablation:NET:FEATURES
    Units of a layer replaced by 0, one by one or in groups.
feature_permutation:FEATURES
    In a batch of two, where each sample gets the values of the other.
shapley_values:batch
    Of the sum of a loss over the batch: one row.
neuron:chosen
    The gradient of the most active unit.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import captum.attr
import torch
from torch import nn

from tests.goldens.calls import BASELINE, GROUPS, LABELS, PICTURES, ROWS, weights

FILE = Path(__file__).parent / "calls.json"


class Columns(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(4, 3)
        self.tanh, self.relu = nn.Tanh(), nn.ReLU()
        _fill(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(self.relu(self.second(self.tanh(self.first(x)))))


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(108, 3)
        self.relu = nn.ReLU()
        _fill(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.conv(x)).flatten(1))


def _fill(net: nn.Module) -> None:
    kind = type(net).__name__.lower()
    for name, tensor in net.named_parameters():
        tensor.data = torch.from_numpy(weights(f"{kind}.{name}", tuple(tensor.shape))).double()


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Captum warns that it sets hooks
    rows, pictures = torch.from_numpy(ROWS).double(), torch.from_numpy(PICTURES).double()
    groups, labels = torch.tensor([GROUPS]), torch.tensor(LABELS)
    columns, images = Columns(), Pictures()
    path = {"n_steps": 50, "method": "gausslegendre"}

    def loss(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(columns(x), labels, reduction="sum")

    found: dict[str, Any] = {
        "neuron_conductance:columns": captum.attr.NeuronConductance(columns, columns.tanh).attribute(
            rows, (2,), BASELINE, target=1, **path
        ),
        "neuron_conductance:pictures": captum.attr.NeuronConductance(images, images.relu).attribute(
            pictures, (1, 3, 2), target=labels, **path
        ),
        "integrated_gradients": captum.attr.IntegratedGradients(columns, multiply_by_inputs=False).attribute(
            rows, BASELINE, target=1, **path
        ),
        "deep_lift": captum.attr.DeepLift(columns, multiply_by_inputs=False).attribute(rows, BASELINE, target=1),
        "layer_ablation:columns:elements": captum.attr.LayerFeatureAblation(columns, columns.tanh).attribute(
            rows, target=1
        ),
        "layer_ablation:columns:groups": captum.attr.LayerFeatureAblation(columns, columns.tanh).attribute(
            rows, layer_baselines=0.5, target=1, layer_mask=torch.tensor([[0, 0, 1, 1, 2, 2]])
        ),
        "layer_ablation:pictures:channels": captum.attr.LayerFeatureAblation(images, images.relu).attribute(
            pictures, target=labels, layer_mask=torch.arange(3).reshape(1, 3, 1, 1)
        ),
        "feature_permutation:elements": captum.attr.FeaturePermutation(columns).attribute(rows, target=1),
        "feature_permutation:groups": captum.attr.FeaturePermutation(columns).attribute(
            rows, target=1, feature_mask=groups
        ),
        "shapley_values:batch": captum.attr.ShapleyValues(loss).attribute(rows, BASELINE),
        "neuron:chosen": captum.attr.NeuronGradient(images, images.relu).attribute(
            pictures, lambda layer: layer.flatten(1).max(dim=1).values
        ),
    }
    texts = {name: values.detach().numpy().tolist() for name, values in found.items()}
    FILE.write_text(json.dumps(texts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
