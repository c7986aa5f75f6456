"""The work for a gradient grows with the number of nodes, not with its square."""

import contextlib
import importlib

import numpy as np
import pytest

from tests.loading.files import model, node, save, tensor, weight
from xaionnx import Model
from xaionnx.autodiff import backward, gradient
from xaionnx.discovery import method
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.view import GraphView
from xaionnx.layers.dry_run import DryRun

# The package exports the function of this name.
gradients = importlib.import_module("xaionnx.autodiff.gradient")


def chain(path, length):
    """x plus a weight, rectified, again and again."""
    names = ["x", *(f"t{k}" for k in range(length - 1)), "y"]
    nodes = [
        node("Relu", names[k], names[k + 1]) if k % 2 else node("Add", f"{names[k]} w", names[k + 1])
        for k in range(length)
    ]
    made = model(nodes, [tensor("x", ("N", 4))], [tensor("y", ("N", 4))], [weight("w", 4)])
    return Model.load(save(path / f"{length}.onnx", made), device="cpu")


def counted(monkeypatch, where, name):
    calls, whole = [], getattr(where, name)
    monkeypatch.setattr(where, name, lambda *given: (calls.append(1), whole(*given))[1])
    return calls


def test_one_walk_serves_all_sources(monkeypatch, tmp_path):
    opened, walks = chain(tmp_path, 40), counted(monkeypatch, backward, "_active_values")
    gradient(opened, "y", ["x", *(f"t{k}" for k in range(30))])
    assert len(walks) == 1


@pytest.mark.parametrize("name", ["full_grad", "grad_cam"])
def test_the_number_of_walks_does_not_depend_on_the_length(monkeypatch, tmp_path, name):
    walks, counts = counted(monkeypatch, GraphView, "follow"), []
    for length in (20, 60):
        walks.clear()
        with contextlib.suppress(UnsupportedModelError):  # a chain of vectors has no map
            method(name)().validate(DryRun.of(chain(tmp_path, length)))
        counts.append(len(walks))
    assert counts[0] == counts[1] > 0


def test_rules_share_one_canonical_form(monkeypatch, tmp_path):
    """It is made once for each choice of tensors and sizes, which takes runs of the model."""
    opened = chain(tmp_path, 6)
    forms = counted(monkeypatch, gradients, "canonicalize")
    for name in ("saliency", "deep_lift", "lrp", "guided_backprop"):
        method(name)().attribute(opened, np.float32([[1, -2, 3, 4]]), 0)
    assert len(forms) == 1
    gradient(opened, "y", ["t2"])
    assert len(forms) == 2


def test_a_graph_that_has_no_canonical_form_is_tried_once(monkeypatch, tmp_path):
    def refuse(*_):
        raise UnsupportedModelError("no form")

    monkeypatch.setattr(gradients, "canonicalize", refuse)
    forms = counted(monkeypatch, gradients, "_canonical_with")
    dry_run = DryRun.of(chain(tmp_path, 6))
    counts = []
    for name in ("saliency", "deep_lift", "lrp"):
        with contextlib.suppress(UnsupportedModelError):
            method(name)().validate(dry_run)
        counts.append(len(forms))
    assert counts[0] == counts[-1] > 0
